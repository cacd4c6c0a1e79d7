"""Kinds by the names that people give them, as the API offers them. Asks the API; no I/O of its own."""

from dataclasses import dataclass

from overlayd.cli.ctl_apps_client import Api
from overlayd.cli.ctl_client import Document
from overlayd.cli.ctl_failure import USAGE, Failure

_PLACES = ("/apis/overlayd.io/v1", "/api/v1")
"""A name is looked for in the first, then in the second: ``nodes`` are the mesh's."""


@dataclass(frozen=True, slots=True)
class Resource:
    """Where objects of a kind are: below ``root``, in a namespace if ``namespaced``."""

    root: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        return self.root.removeprefix("/apis/").removeprefix("/api/")

    @property
    def label(self) -> str:
        """How the kind is called in what is told: ``app``."""
        return self.kind.lower()

    def path(self, namespace: str | None, name: str = "", part: str = "") -> str:
        """Return the path of the objects (of all namespaces: None), of one, or of a part of one."""
        within = f"/namespaces/{namespace}" if self.namespaced and namespace is not None else ""
        return "/".join(filter(None, (f"{self.root}{within}/{self.plural}", name, part)))


class Kinds:
    """The kinds that an API offers."""

    def __init__(self, api: Api) -> None:
        self._by_name: dict[str, Resource] = {}
        self._by_kind: dict[tuple[str, str], Resource] = {}
        for root in _PLACES:
            offered: list[Document] = api.ask("GET", root)[0]["resources"]
            for one in offered:
                if "/" not in one["name"]:
                    self._add(root, one)

    def named(self, name: str) -> Resource:
        """Return the kind that is meant: ``app``, ``apps``, ``App``, ``apps.overlayd.io``. Raises
        :class:`Failure`.
        """
        found = self._by_name.get(name.lower())
        if found is None:
            known = ", ".join(sorted({one.plural for one in self._by_name.values()}))
            raise Failure(USAGE, f"there is no kind {name!r}; there are {known}")
        return found

    def of(self, value: Document) -> Resource:
        """Return the kind of an object. Raises :class:`Failure`."""
        version, kind = str(value.get("apiVersion", "")), str(value.get("kind", ""))
        found = self._by_kind.get((version, kind))
        if found is None:
            raise Failure(USAGE, f"there is no kind {kind!r} in version {version!r}")
        return found

    def _add(self, root: str, one: Document) -> None:
        resource = Resource(root, one["name"], one["kind"], one["namespaced"])
        self._by_kind[resource.api_version, resource.kind] = resource
        group = resource.api_version.rpartition("/")[0]
        short: list[str] = one.get("shortNames", [])
        names: set[str] = {one["name"], one.get("singularName") or one["kind"].lower(), *short}
        names |= {f"{name}.{group}" for name in names} if group else set()
        for name in names:
            self._by_name.setdefault(name, resource)
