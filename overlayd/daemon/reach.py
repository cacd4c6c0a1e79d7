"""How peers reach an uplink whose ``endpoint`` is "auto". I/O: asks the kernel for a route; sends nothing.

Called by `overlayd.daemon.agent` and `overlayd.daemon.engine`.
"""

import contextlib
import socket

from overlayd.daemon.config import UplinkSection

_FAR = {socket.AF_INET: "192.88.99.1", socket.AF_INET6: "2001:4860::1"}
"""Far from every host: whatever leads there is the default route."""


class NoRoute(Exception):
    """Nothing leads far from an uplink now; DHCP may be at work still. The message says what helps."""


def endpoint_of(uplink: UplinkSection) -> str | None:
    """Return ``address:port`` as peers call it; None: they cannot. Raises :class:`NoRoute`.

    "auto" is the address that the default route leaves from.
    """
    if uplink.endpoint != "auto":
        return uplink.public_endpoint
    family = socket.AF_INET6 if ":" in uplink.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.bind((uplink.address, 0))
            probe.connect((_FAR[family], 9))
        except OSError as error:
            raise NoRoute(
                f'uplink {uplink.name!r}: endpoint = "auto" needs a default route ({error.strerror}); '
                'without one, say the "address:port" that peers call'
            ) from error
        address = probe.getsockname()[0]
    return f"[{address}]:{uplink.port}" if family == socket.AF_INET6 else f"{address}:{uplink.port}"


def is_routed(uplink: UplinkSection) -> bool:
    """Whether :func:`endpoint_of` has an answer now."""
    with contextlib.suppress(NoRoute):
        endpoint_of(uplink)
        return True
    return False
