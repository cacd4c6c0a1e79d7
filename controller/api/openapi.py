"""``python -m controller.api.openapi`` prints what ``docs/openapi.json`` holds. I/O: stdout."""

import json
from typing import Any, cast

from controller.api.app import create_app
from controller.server.service import Service


def document() -> str:
    """Return the document as it is committed; it does not depend on any state."""
    app = create_app(cast("Service", _Unopened()))
    schema: dict[str, Any] = app.openapi()
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


class _Unopened:
    """Stands for a service that is described, never asked."""


if __name__ == "__main__":
    print(document(), end="")
