"""Impairments by the kernel's own netem, where it has that and can say what is wanted.

The words of `tc` are made here, and given to it. What netem cannot do (bursts that last in time, dropping by
size) is the link emulator's. Called by `runner`. :func:`words` is pure, all else is I/O and needs root.
"""

import subprocess
from collections.abc import Iterable

from sim.lab import process
from sim.lab.errors import LabError
from sim.lab.impair import Settings
from sim.lab.state import LabState, LinkState

_FRAME_BYTES = 1514
_NO_RATE_BPS = 100 * 10**9
"""Packets wait for each other only at some rate, and only then does jitter keep their order."""
_LONGEST_QUEUE = 100_000


def serves(settings: Iterable[Settings]) -> bool:
    """Whether this kernel has netem, and it can say all of this."""
    try:
        for one in settings:
            words(one)
    except LabError:
        return False
    # In a namespace of its own, which goes with the command.
    tried = ["unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]
    return not subprocess.run(tried, capture_output=True, check=False).returncode


def words(settings: Settings) -> list[str]:
    """One direction as words of ``tc qdisc replace … root``. Raises :class:`LabError` for what it lacks."""
    if settings.bursts:
        raise LabError("netem's bursts last for packets, not in time: this takes the link emulator")
    if settings.mtu:
        raise LabError("netem drops nothing for its size: this takes the link emulator")
    found = ["netem", "limit", str(_limit_packets(settings))]
    if settings.delay_ns:
        found += ["delay", _microseconds(settings.delay_ns)]
        found += [_microseconds(settings.jitter_ns)] if settings.jitter_ns else []
    loss_ratio = 1.0 if settings.blackhole else settings.loss_ratio
    for word, ratio in (
        ("loss", loss_ratio),
        ("duplicate", settings.duplicate_ratio),
        ("corrupt", settings.corrupt_ratio),
    ):
        found += [word, f"{ratio * 100:.6f}%"] if ratio else []
    if settings.rate_bps or (settings.jitter_ns and not settings.reorder):
        found += ["rate", f"{settings.rate_bps or _NO_RATE_BPS}bit"]
    return found


def lay(state: LabState) -> None:
    """Put all links of a lab under netem for the first time. Raises :class:`LabError`."""
    for link in state.links:
        for end in (link.a, link.b):
            node, _, interface = end.partition(":")
            # A super-frame would be lost, or wait, as one packet.
            off = ["tso", "off", "gso", "off", "gro", "off", "tx-udp-segmentation", "off"]
            process.run(state.namespaces[node], ["ethtool", "-K", interface, *off])
        put(state, link)


def put(state: LabState, link: LinkState) -> None:
    """Make a link what it says, each direction where it leaves. Raises :class:`LabError`."""
    ends = ((link.a, link.impairments.there), (link.b, link.impairments.back))
    commands: list[tuple[str, list[str]]] = []
    for end, settings in ends:
        node, _, interface = end.partition(":")
        change = ["tc", "qdisc", "replace", "dev", interface, "root", *words(settings)]
        commands.append((state.namespaces[node], change))
    for namespace, command in commands:
        process.run(namespace, command)


def _microseconds(time_ns: int) -> str:
    return f"{time_ns / 1000:.3f}us"


def _limit_packets(settings: Settings) -> int:
    """netem counts what is under way as well as what waits."""
    if settings.rate_bps is None:
        return _LONGEST_QUEUE
    under_way = settings.rate_bps * settings.delay_ns // 8_000_000_000
    return max(1, (settings.queue_bytes + under_way) // _FRAME_BYTES)
