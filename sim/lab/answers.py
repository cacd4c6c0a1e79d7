"""What ``overlayctl lab`` answers as JSON. Pure; made by `sim.lab.cli`."""

from typing import Any

import msgspec

from sim.lab.check import Finding


class Lab(msgspec.Struct, frozen=True):
    """A lab that is up: the namespace of each node."""

    lab: str
    runner: str
    namespaces: dict[str, str]
    schema: str = "overlayd.lab/1"


class LabLink(msgspec.Struct, frozen=True):
    """A link's settings, by direction (``a->b``), as the emulator reads them."""

    ways: dict[str, dict[str, Any]]
    schema: str = "overlayd.lab-link/1"


class LabCheck(msgspec.Struct, frozen=True):
    """What a lab was to do and did; ``failed`` is how many findings are not ``ok``."""

    failed: int
    findings: tuple[Finding, ...]
    schema: str = "overlayd.lab-check/1"


class LabDown(msgspec.Struct, frozen=True):
    """A lab that is down now; whether it was up before."""

    lab: str
    was_up: bool
    schema: str = "overlayd.lab-down/1"


class Labs(msgspec.Struct, frozen=True):
    """Names of the labs that are up."""

    labs: tuple[str, ...]
    schema: str = "overlayd.labs/1"
