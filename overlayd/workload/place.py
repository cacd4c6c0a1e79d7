"""Where this unit runs: which node, of which network, at which address. I/O: reads the agent's membership."""

import logging
from dataclasses import dataclass
from urllib.parse import urlsplit

from overlayd.daemon.config import Configuration, WorkloadSection
from overlayd.daemon.joining import identify
from overlayd.daemon.log import fields
from overlayd.daemon.state import AgentState, StateError
from overlayd.protocol.signed import BadRecord

LOG = logging.getLogger(__name__)
API_PORT = 7481
NOWHERE = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Place:
    """``address`` in the overlay. ``url`` of the controller's API; None: there is none to ask.

    ``known``: whether this is a member could be read.
    """

    name: str
    address: str
    url: str | None
    known: bool = True


def membership_stamp(configuration: Configuration) -> tuple[int, int]:
    """Return what changes with the stored membership."""
    try:
        found = AgentState(configuration.agent_dir).record_file.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_ino


def place_of(configuration: Configuration) -> Place:
    """Return where this is; a host that is no member runs its own manifests on its loopback."""
    section = configuration.workload or WorkloadSection()
    alone = Place(configuration.node.name, NOWHERE, None)
    try:
        membership = AgentState(configuration.agent_dir).membership()
        if membership is None:
            return alone
        _, record = identify(membership)
    except (StateError, BadRecord) as error:
        LOG.error("membership not read", extra=fields(problem=error))
        return Place(alone.name, alone.address, None, known=False)
    host = urlsplit(membership.url).hostname or ""
    server = section.server or f"{f'[{host}]' if ':' in host else host}:{API_PORT}"
    return Place(record.name, record.addresses[0], f"https://{server}")
