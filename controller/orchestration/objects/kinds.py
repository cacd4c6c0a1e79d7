"""What a kind is: its names, schema, columns and subresources, declared once. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from controller.orchestration.objects.metadata import METADATA
from controller.orchestration.objects.schema import Object, Schema, record, text

READ = ("get", "list", "watch")
ALL = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")

_API_VERSION = text(
    "APIVersion defines the versioned schema of this representation of an object. Servers should convert "
    "recognized "
    "schemas to the latest internal value, and may reject unrecognized values. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"
)
_KIND = text(
    "Kind is a string value representing the REST resource this object represents. Servers may infer this "
    "from the "
    "endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column that ``kubectl get`` shows; ``priority`` above 0: with ``-o wide`` only. ``path`` is a
    JSON path; where that does not suffice ``shown`` makes the cell of the object and now (Unix seconds),
    which kinds of ours cannot have, since a CRD knows paths alone.
    """

    name: str
    type: Literal["string", "integer", "number", "boolean", "date"]
    path: str
    description: str = ""
    priority: int = 0
    shown: Callable[[Object, float], Any] | None = None


@dataclass(frozen=True, slots=True)
class Scale:
    """Where the scale subresource finds replicas asked for and there; ``selector`` of their labels, or
    empty.
    """

    spec: str
    status: str
    selector: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of objects.

    ``properties`` are the fields beside ``apiVersion``, ``kind`` and ``metadata``. ``fields`` are the paths
    that field selectors may name beside those of metadata. ``custom`` tells kinds of ours, which other
    clusters take as CRDs, from the core group's, for which Kubernetes itself has other rules: strategic
    patches, updates without a resourceVersion. ``fixed`` are the fields that stay as they were made;
    ``logs``: its objects have a ``log`` to be read.
    """

    name: str
    plural: str
    description: str
    properties: Mapping[str, Schema]
    required: tuple[str, ...] = ()
    group: str = "overlayd.io"
    version: str = "v1"
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    columns: tuple[Column, ...] = ()
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    scale: Scale | None = None
    fixed: tuple[str, ...] = ()
    logs: bool = False
    verbs: tuple[str, ...] = ALL
    module: str = "io.overlayd.v1"

    @property
    def singular(self) -> str:
        return self.name.lower()

    @property
    def list_name(self) -> str:
        return f"{self.name}List"

    @property
    def resource(self) -> str:
        """The name of the resource with its group, as errors tell it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified(self) -> str:
        """The kind's name with its group, as errors of validation tell it."""
        return f"{self.name}.{self.group}" if self.group else self.name

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def custom(self) -> bool:
        return self.group != ""

    @property
    def has_status(self) -> bool:
        return "status" in self.properties

    @property
    def definition(self) -> str:
        """The name of the kind's schema in OpenAPI documents."""
        return f"{self.module}.{self.name}"

    @property
    def schema(self) -> Schema:
        """The whole object."""
        head = {"apiVersion": _API_VERSION, "kind": _KIND, "metadata": METADATA}
        return record(self.description, {**head, **self.properties}, *self.required, name=self.definition)


class Catalogue:
    """The kinds that one API offers. Names and short names are unique."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._kinds = tuple(kinds)
        self._by_place = {(kind.group, kind.version, kind.plural): kind for kind in self._kinds}

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds)

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        """Return the kind of a resource's path."""
        return self._by_place.get((group, version, plural))

    def groups(self) -> dict[tuple[str, str], list[Kind]]:
        """Return the kinds of each group and version, in the order of their declaration."""
        found: dict[tuple[str, str], list[Kind]] = {}
        for kind in self._kinds:
            found.setdefault((kind.group, kind.version), []).append(kind)
        return found
