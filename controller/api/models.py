"""What the HTTP API says and takes: pydantic models, from which the OpenAPI document is made. Pure.

JSON keys are camelCase. Times are RFC 3339 in UTC, RTTs milliseconds, ratios 0..1. Every answer names its
schema and version.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


def _json_key(name: str) -> str:
    """Return ``class_`` as ``class`` and ``rtt_ms`` as ``rttMs``."""
    return to_camel(name.rstrip("_"))


class Model(BaseModel):
    model_config = ConfigDict(
        alias_generator=_json_key, validate_by_name=True, validate_by_alias=True, extra="forbid"
    )


class Health(Model):
    status: Literal["ok"] = "ok"


class Problem(Model):
    """``code`` is for programs, ``problem`` for people."""

    code: str
    problem: str


class MetadataModel(Model):
    name: str
    uid: str
    creation_timestamp: str
    generation: int
    resource_version: str
    labels: dict[str, str]


class NodeSpecModel(Model):
    id: int
    public_key: str
    addresses: list[str]
    relay: bool
    prefixes: list[str]
    price_per_gb: float
    epoch: int


class ConditionModel(Model):
    type: str
    status: str
    reason: str
    message: str
    last_transition_time: str


class UplinkModel(Model):
    name: str
    endpoint: str | None
    mtu: int = 1500
    rate_bps: int | None = None
    lanes: int = 1
    reflexive: str | None = None
    symmetric: bool = False


class NodeStatusModel(Model):
    conditions: list[ConditionModel]
    uplinks: list[UplinkModel]
    announced: list[str]
    version: str | None
    last_seen: str | None
    certificate_not_after: str | None


class NodeModel(Model):
    """A node, shaped like a Kubernetes object."""

    api_version: str
    kind: str
    metadata: MetadataModel
    spec: NodeSpecModel
    status: NodeStatusModel


class NodeList(Model):
    schema_: Literal["overlayd.nodes/1"] = "overlayd.nodes/1"
    items: list[NodeModel]


class LinkModel(Model):
    """One direction of a link. ``known``: there is a fresh sample; ``confirmed``: both ends have one.

    Forecasts are for the next minutes; ``held_down_seconds`` is how long a past degradation still counts.
    """

    source: str
    destination: str
    known: bool
    confirmed: bool
    down: bool
    measured_rtt_ms: float | None
    measured_loss_ratio: float | None
    forecast_rtt_q50_ms: float | None
    forecast_rtt_q80_ms: float | None
    forecast_rtt_q90_ms: float | None
    forecast_loss_ratio: float | None
    held_down_seconds: float


class LinkList(Model):
    """``next``: the cursor of the next page; null: this is the last one."""

    schema_: Literal["overlayd.links/1"] = "overlayd.links/1"
    items: list[LinkModel]
    next: str | None = None


class RouteModel(Model):
    """Paths are the names of the nodes after the source: relays, then the destination; best path first."""

    source: str
    destination: str
    class_: str
    paths: list[list[str]]
    reason: str
    decider: str
    decided_at: str


class RouteList(Model):
    """``next``: the cursor of the next page; null: this is the last one."""

    schema_: Literal["overlayd.routes/1"] = "overlayd.routes/1"
    items: list[RouteModel]
    next: str | None = None


class EndToEnd(Model):
    """What the source measured along the path; loss after repair."""

    rtt_ms: float | None
    loss_ratio: float | None
    active: bool
    age_seconds: float


class CandidateModel(Model):
    """A path that was weighed, with the figures of the decision; losses before repair."""

    path: list[str]
    verdict: Literal["primary", "backup", "rejected"]
    reason: str
    cost: float | None
    forecast_rtt_ms: float | None
    measured_rtt_ms: float | None
    forecast_loss_ratio: float | None
    measured_loss_ratio: float | None
    end_to_end: EndToEnd | None


class RouteEventModel(Model):
    """A change of the primary; ``decider`` is ``controller``, ``agent`` or ``engine``."""

    at: str
    decider: str
    before: list[str] | None
    after: list[str] | None
    reason: str


class Explanation(Model):
    """Why a route is as it is, or was: ``reason`` and ``decidedAt`` are of when its primary was chosen,
    candidates are as the newest decision weighed them, which was made at ``figuresAt`` (null where none is
    kept). ``history`` are changes until then, newest first.
    """

    schema_: Literal["overlayd.explanation/1"] = "overlayd.explanation/1"
    source: str
    destination: str
    class_: str
    objective: str
    reason: str
    decider: str
    decided_at: str
    figures_at: str | None = None
    candidates: list[CandidateModel]
    history: list[RouteEventModel]


class RouteChange(RouteEventModel):
    """A change of the primary of one class."""

    class_: str


class RouteHistory(Model):
    """The newest changes first."""

    schema_: Literal["overlayd.route-history/1"] = "overlayd.route-history/1"
    source: str
    destination: str
    items: list[RouteChange]


class LinkMatrix(Model):
    """One figure of all links at one moment: ``values`` [from][to] in the order of ``nodes``, null where
    nothing was known.

    ``at`` is the time of the frame that told it, the newest that is not later than the one asked for;
    ``spanSeconds`` what it stands for: older history is rolled up. ``rtt`` is milliseconds (there and
    back, the larger of what both ends measured), ``loss`` 0..1 on the way there before repair (the
    larger of what both ends counted), ``residual`` the same after repair. Three digits are kept.
    """

    schema_: Literal["overlayd.link-matrix/1"] = "overlayd.link-matrix/1"
    metric: Literal["rtt", "loss", "residual"]
    at: str
    span_seconds: float
    nodes: list[str]
    values: list[list[float | None]]


class LinkHistory(Model):
    """One figure over time: of one link its ``value``; of all links the ``median`` and the ``high`` one that
    nineteen of twenty do not exceed, and how many links are ``known``.

    ``times`` are Unix seconds, null stands where nothing was known; ``spanSeconds`` is what each time stands
    for. Units and meaning as in `LinkMatrix`.
    """

    schema_: Literal["overlayd.link-history/1"] = "overlayd.link-history/1"
    metric: Literal["rtt", "loss", "residual"]
    source: str | None
    destination: str | None
    span_seconds: float
    times: list[float]
    lines: dict[Literal["value", "median", "high", "known"], list[float | None]]


class EventModel(Model):
    """What happened: to a node, a link, or a route (then of ``class``, by ``decider``, from the primary
    ``before`` to the one ``after``). ``nodes`` are the ends.
    """

    at: str
    kind: Literal["node", "link", "route"]
    nodes: list[str]
    class_: str | None = None
    decider: str | None = None
    before: list[str] | None = None
    after: list[str] | None = None
    reason: str


class EventList(Model):
    """The newest first."""

    schema_: Literal["overlayd.events/1"] = "overlayd.events/1"
    items: list[EventModel]


class SessionModel(Model):
    """``ends`` is null for who came with the admin token; ``intervalSeconds`` is how often agents report."""

    schema_: Literal["overlayd.session/1"] = "overlayd.session/1"
    network: str
    version: str
    ends: str | None
    classes: list[str]
    interval_seconds: float


class TokenModel(Model):
    """A token without its secret."""

    id: str
    name: str
    state: Literal["open", "used", "expired"]
    relay: bool
    prefixes: list[str]
    created: str
    expires: str


class TokenList(Model):
    schema_: Literal["overlayd.tokens/1"] = "overlayd.tokens/1"
    items: list[TokenModel]


class TokenRequest(Model):
    name: str
    relay: bool = False
    prefixes: list[str] = []
    price_per_gb: float = Field(0.0, ge=0)
    ttl_seconds: int = Field(15 * 60, ge=1, le=30 * 86400)


class NewTokenModel(Model):
    """``token`` is shown this once."""

    schema_: Literal["overlayd.token/1"] = "overlayd.token/1"
    token: str
    name: str
    expires: str
