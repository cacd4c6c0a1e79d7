"""The names of routes, answered at the node's overlay address by a dnsmasq in the background.

Nobody is made to ask there: resolv.conf is never touched. Called by `traffic`. I/O: its process, its files.
"""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from overlayd.daemon.files import write_atomic
from overlayd.daemon.log import fields
from overlayd.protocol.steering import SteeredRoute
from overlayd.traffic import zone
from overlayd.traffic.errors import TrafficError
from overlayd.traffic.launching import Daemon, user_for

LOG = logging.getLogger(__name__)
PROGRAM = "dnsmasq"
CAPABILITIES = "CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_CHOWN"
"""It gives its user the file with its process id, and keeps the first: an address may come later."""
FAMILIES = "AF_UNIX AF_INET AF_INET6 AF_NETLINK"


class Names:
    """``converge`` has the names of routes answered at ``address``; None: nowhere."""

    def __init__(self, directory: Path, address: str | None) -> None:
        self._file = directory / "dnsmasq.conf"
        self._hosts = directory / "names.hosts"
        self._pid_file = directory / "dnsmasq.pid"
        self._daemon = Daemon("overlayd-names", self._pid_file, self._file, CAPABILITIES, FAMILIES)
        self._address = address

    async def converge(self, routes: Sequence[SteeredRoute]) -> None:
        """Answer for ``routes`` and no others. Raises :class:`TrafficError`."""
        if self._address is None or not routes:
            return await self.stop()
        hosts = zone.render_hosts(routes).encode()
        user = user_for(PROGRAM, self._file.parent) or "root"
        configuration = zone.render_configuration(self._address, self._hosts, self._pid_file, user).encode()
        known = _read(self._hosts) == hosts
        if not known:
            write_atomic(self._hosts, hosts)
            self._hosts.chmod(0o644)  # read by dnsmasq's user, whatever the mask of this process
        if self._daemon.pid() is None or _read(self._file) != configuration:
            await self._start(configuration)
        elif not known:
            await self._daemon.reread()
        return None

    async def stop(self) -> None:
        """Answer no more."""
        await self._daemon.stop()

    async def _start(self, configuration: bytes) -> None:
        if (program := shutil.which(PROGRAM)) is None:
            raise TrafficError("dnsmasq is not installed (apt install dnsmasq-base): names wait for it")
        await self.stop()
        write_atomic(self._file, configuration)
        if (said := await self._daemon.run([program, f"--conf-file={self._file}"])) is not None:
            raise TrafficError(f"names are not answered: {said}")
        LOG.info("names are answered", extra=fields(address=self._address))


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None
