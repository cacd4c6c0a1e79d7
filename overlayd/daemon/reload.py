"""Reading the configuration anew while the process runs: ``systemctl reload``, SIGHUP.

What can change without a packet lost changes; what cannot is named and waits for a restart; a faulty file
changes nothing. Called by `overlayd.daemon.engine` and `overlayd.daemon.agent`. I/O.
"""

import logging
from collections.abc import Callable

import msgspec

from overlayd.daemon.config import Configuration
from overlayd.daemon.errors import StartError
from overlayd.daemon.log import fields, set_up
from overlayd.daemon.notify import notify, reloading

LOG = logging.getLogger(__name__)
RELOADABLE = frozenset({"log"})
"""Sections of the configuration that a reload puts in force."""


def reload(process: str, now: Configuration, load: Callable[[], Configuration]) -> Configuration:
    """Return the configuration in force from here on; systemd is told of beginning and end."""
    notify(reloading())
    try:
        wanted = load()
    except StartError as error:
        LOG.error("configuration not reloaded, nothing has changed", extra=fields(problem=error))
        return now
    finally:
        notify("READY=1")
    changed = [
        name
        for name in (field.name for field in msgspec.structs.fields(Configuration))
        if getattr(wanted, name) != getattr(now, name)
    ]
    set_up(process, wanted.log.level, wanted.log.format)
    waiting = [name for name in changed if name not in RELOADABLE]
    if waiting:
        LOG.warning("a restart is needed for a part of the configuration", extra=fields(sections=waiting))
    LOG.info("configuration reloaded", extra=fields(changed=[name for name in changed if name in RELOADABLE]))
    return msgspec.structs.replace(now, log=wanted.log)
