"""What placement says of one app, as far as the loops act on it. Pure data."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Chosen:
    """``nodes``, one for each instance, and the ``problem`` with them; empty for none.

    ``within``: whether users are served within the bounds that were set, None where none are; ``said`` how
    well. ``ms`` and ``refused`` by node: the mean round trip that its users are expected to have, and why it
    is not taken.
    """

    nodes: tuple[str, ...] = ()
    problem: str = ""
    within: bool | None = None
    said: str = ""
    ms: Mapping[str, float] = field(default_factory=dict[str, float])
    refused: Mapping[str, str] = field(default_factory=dict[str, str])
