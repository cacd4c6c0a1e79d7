"""Our API without a controller: the application over a store of its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from controller.orchestration.objects.kinds import Catalogue
from controller.orchestration.serving.api import Api
from controller.orchestration.serving.server import version_document
from controller.orchestration.serving.verbs import Verbs
from controller.orchestration.serving.watching import Hub
from controller.orchestration.store.store import Store
from tests.kubernetes.asking import Call, ask
from tests.kubernetes.trial import KINDS


async def answered(app: Api, table: list[Call]) -> dict[str, Any]:
    """Return the answers to a table of calls."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://ours", headers=headers) as client:
        return await ask(client, table)


TOKEN = "t" * 32


@contextmanager
def embedded(folder: Path, kinds: Catalogue = KINDS) -> Iterator[Api]:
    """Yield the application; nobody is told of changes, so it is not for watches."""
    store = Store(folder / "objects.db")
    objects = Verbs(kinds, store)
    objects.begin()
    try:
        yield Api(kinds, objects, Hub(store, _at_once), TOKEN, version_document())
    finally:
        store.close()


def _at_once(work: Callable[[], None]) -> None:
    work()
