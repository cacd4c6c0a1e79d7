"""YAML, read and written, where PyYAML is installed; JSON needs nothing. Pure but for that import."""

import json
from typing import Any, cast

from overlayd.cli.ctl_client import Document
from overlayd.cli.ctl_failure import FAILED, USAGE, Failure


def read_documents(name: str, text: str) -> list[Document]:
    """Return the objects of a file; a ``List`` stands for its items. Raises :class:`Failure`."""
    try:
        found: list[Any] = [json.loads(text)]
    except ValueError:
        found = _all(name, text)
    documents: list[Document] = []
    for one in found:
        if one is None:
            continue
        if not isinstance(one, dict):
            raise Failure(USAGE, f"{name} holds what is no object: {str(one)[:40]!r}")
        document = cast("Document", one)
        is_list = str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list)
        documents += document["items"] if is_list else [document]
    return documents


def written(value: Any) -> str:
    """Return YAML."""
    return _yaml().safe_dump(value, sort_keys=False, allow_unicode=True).rstrip()


def _all(name: str, text: str) -> list[Any]:
    yaml = _yaml()
    try:
        return list(yaml.load_all(text, _plain(yaml)))
    except (yaml.YAMLError, RecursionError) as error:
        raise Failure(USAGE, f"{name}: neither JSON nor YAML: {' '.join(str(error).split())}") from error


def _plain(yaml: Any) -> Any:
    """Return a loader to which a date is a text, as it is in JSON."""

    class Plain(yaml.SafeLoader): ...

    Plain.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in listed if not tag.endswith(":timestamp")]
        for first, listed in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return Plain


def _yaml() -> Any:
    try:
        import yaml
    except ImportError as error:
        said = "YAML needs PyYAML: install overlayd with its extra `workload`, or use JSON"
        raise Failure(FAILED, said) from error
    return yaml
