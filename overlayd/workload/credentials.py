"""How this unit is known to the controller: by the agent's own key and certificate. I/O: reads its files.

The agent renews them; connections from then on use the new ones. Of this network's authority only a
controller has a certificate for servers, so who answers with one is it.
"""

import ssl
from pathlib import Path

from overlayd.daemon.state import AgentState
from overlayd.daemon.tls import member_context
from overlayd.workload.errors import Unreachable


class Credentials:
    """Those in an agent's directory."""

    def __init__(self, directory: Path) -> None:
        self._state = AgentState(directory)
        self._seen: tuple[int, ...] = ()
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Return TLS as a member of the network. Raises :class:`Unreachable` for a host that is none."""
        state = self._state
        try:
            files = (state.key_file, state.certificate_file, state.ca_file)
            seen = tuple(
                number for at in (file.stat() for file in files) for number in (at.st_ino, at.st_mtime_ns)
            )
            if self._context is None or seen != self._seen:
                self._context, self._seen = member_context(state), seen
        except OSError as error:
            said = error.strerror or str(error)
            raise Unreachable(f"this host is no member of a network: {state.directory}: {said}") from error
        return self._context
