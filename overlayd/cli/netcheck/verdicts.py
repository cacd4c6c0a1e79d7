"""What the facts of a netcheck mean: ok, degraded or failed, what was found, what to do. Pure.

``failed`` keeps a host from joining or from carrying traffic at all; ``degraded`` costs something, a direct
path or a part of each packet. Called by `overlayd.cli.ctl_netcheck`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from overlayd.cli.netcheck.exchange import Seen, Sizes
from overlayd.cli.netcheck.host import Port, TunState
from overlayd.cli.netcheck.reach import Met
from overlayd.protocol.documents import Kind, NatKind, NetCheckRow, Verdict
from overlayd.protocol.stun import Place

OK_OFFSET_S = 60.0
BACKDATED_S = 3600.0
"""A new certificate begins that long before it is made (`controller.enrolment.authority`)."""
LEAST_MTU = 1280
SEALS = 63
"""What a relayed packet bears beside IP and UDP (docs/wire-format.md, 6)."""
_HEADERS = {4: 28, 6: 48}


@dataclass(frozen=True, slots=True)
class Engine:
    """What the agent says of its engine and its links; ``interface`` is None where no engine answers."""

    interface: str | None = None
    links: int = 0
    links_up: int = 0


@dataclass(frozen=True, slots=True)
class Way:
    """One uplink as it was measured. ``from_port``: whether the uplink's own port was free to ask from.

    ``changed`` is what came from the reflector's other port, to which nothing was sent; ``places`` where
    another socket is seen from either port.
    """

    name: str
    address: str
    port: int
    from_port: bool
    reflector: Place
    seen: Seen
    changed: Seen | None = None
    places: tuple[Place, Place] | None = None
    sizes: Sizes | None = None


def controller(url: str | None, met: Met | None, problem: str = "") -> NetCheckRow:
    """Whether TCP and TLS reach it, and it is the one that is meant."""
    if url is None or met is None:
        advice = "give the join token, or wss://HOST:PORT as the controller advertises it"
        return _row("controller", "failed", problem or "it is not known where the controller is", advice)
    match met.failed:
        case "name":
            advice = "set the host's resolver right, or have the controller advertise an address"
            return _row("controller", "failed", f"{url}: the name is not resolved: {met.said}", advice)
        case "tcp":
            advice = f"is the controller running? let TCP to {url.removeprefix('wss://')} through"
            return _row("controller", "failed", f"{url}: no TCP connection: {met.said}", advice)
        case "tls":
            advice = "large packets vanish on the way (see mtu), or what is at that port speaks no TLS 1.3"
            return _row("controller", "failed", f"{url}: TCP connects, TLS does not: {met.said}", advice)
        case "trust":
            advice = "the token is of another network, or something on the way ends TLS: make a new token"
            return _row("controller", "failed", f"{url}: {met.said}", advice)
        case "http":
            advice = "is another program at that port?"
            return _row(
                "controller", "failed", f"{url}: TLS is up, but no controller answers: {met.said}", advice
            )
        case "":
            return _row("controller", "ok", f"{url}: TCP in {met.connect_ms or 0:.1f} ms, TLS 1.3")


def clock(met: Met | None, now_unix: float) -> NetCheckRow | None:
    """Whether certificates can be checked by this host's clock. None: there is nothing to compare it with."""
    if met is None or met.offset_s is None:
        return None
    ahead = met.offset_s
    said = f"{_span(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} the controller's"
    if abs(ahead) <= met.doubt_s:
        said = f"as the controller's, to {met.doubt_s:.1f} s"
    advice = "set the clock: `timedatectl set-ntp true`, or chrony"
    early = ahead < -BACKDATED_S or (met.validity is not None and now_unix < met.validity.not_before)
    late = met.validity is not None and now_unix > met.validity.not_after
    if early or late:
        which = "not valid yet" if early else "over"
        found = f"{said}: certificates are {which} by it"
        return _row("clock", "failed", found, advice, clock_offset_s=ahead)
    if abs(ahead) - met.doubt_s > OK_OFFSET_S:
        return _row("clock", "degraded", said, advice, clock_offset_s=ahead)
    return _row("clock", "ok", said, clock_offset_s=ahead)


def tun(state: TunState, said: str, engine: Engine) -> NetCheckRow:
    """Whether the overlay's interface can be made."""
    if engine.interface is not None:
        return _row("tun", "ok", f"the engine has its interface {engine.interface}")
    match state:
        case "works":
            return _row("tun", "ok", "an interface can be made")
        case "there":
            return _row("tun", "ok", "/dev/net/tun is there; root can try it")
        case "missing":
            advice = "`modprobe tun`; in a container, --device /dev/net/tun"
            return _row("tun", "failed", "/dev/net/tun is missing", advice)
        case "closed":
            advice = "in a container, allow the device: --device /dev/net/tun"
            return _row("tun", "failed", f"/dev/net/tun is not opened: {said}", advice)
        case "broken":
            return _row("tun", "failed", f"no interface is made: {said}", "does this kernel have TUN?")


def capability(allowed: bool, engine: Engine) -> NetCheckRow:
    """Whether the engine can have what it needs."""
    if engine.interface is not None:
        return _row("capability", "ok", "the engine runs with CAP_NET_ADMIN")
    if allowed:
        return _row("capability", "ok", "CAP_NET_ADMIN can be given to the engine")
    advice = "in a container, --cap-add NET_ADMIN"
    return _row("capability", "failed", "CAP_NET_ADMIN is out of reach: not in the bounding set", advice)


def port(uplink: str, address: str, number: int, found: Port, engine: Engine) -> NetCheckRow:
    """Whether the uplink's UDP port is there for the engine."""
    place = f"UDP {number} at {address}"
    match found.problem:
        case "":
            return _row("port", "ok", f"{place} is free", uplink=uplink)
        case "taken" if engine.interface is not None:
            return _row("port", "ok", f"{place} is the engine's", uplink=uplink)
        case "taken":
            by = f"has {found.owner}" if found.owner else "is taken by another program"
            advice = f"end it (`ss -ulpn 'sport = :{number}'`), or set another uplink.port"
            return _row("port", "failed", f"{place} {by}", advice, uplink=uplink)
        case "no-address":
            advice = (
                f"set uplink.address to one of `ip address`, or to {'::' if ':' in address else '0.0.0.0'}"
            )
            return _row("port", "failed", f"no interface has the address {address}", advice, uplink=uplink)
        case "refused":
            return _row("port", "failed", f"{place}: {found.said}", "choose a port above 1023", uplink=uplink)


def no_route(uplink: str, problem: str) -> NetCheckRow:
    """An uplink that leads nowhere."""
    return _row("udp", "failed", problem, "set a default route, or say the endpoint", uplink=uplink)


def udp(way: Way, engine: Engine) -> NetCheckRow:
    """Whether datagrams go out and answers come back."""
    seen, name = way.seen, _place(way.reflector)
    if seen.answered:
        lost = f", {seen.sent - seen.answered} of {seen.sent} lost" if seen.answered < seen.sent else ""
        found = f"{name} answers after {seen.rtt_ms or 0:.1f} ms{lost}"
        if 2 * seen.answered < seen.sent:
            advice = "more than half is lost: look at the line, and at limits of UDP on the way"
            return _row("udp", "degraded", found, advice, uplink=way.name, rtt_ms=seen.rtt_ms)
        return _row("udp", "ok", found, uplink=way.name, rtt_ms=seen.rtt_ms)
    said = f": {seen.refused}" if seen.refused else ""
    if engine.links_up:
        found = f"{name} does not answer{said}, but {engine.links_up} of {engine.links} links are up"
        return _row("udp", "ok", found, uplink=way.name)
    found = f"{seen.sent} datagrams to {name}, none came back{said}"
    if seen.refused == "Connection refused":
        advice = (
            "UDP gets there, but no reflector listens: a controller that is older, or whose UDP "
            f"{way.reflector[1]} is taken; ask another with --reflector HOST:PORT"
        )
        return _row("udp", "degraded", found, advice, uplink=way.name)
    advice = (
        f"let UDP out of port {way.port} and its answers in, and UDP {way.reflector[1]} to the reflector; "
        "--reflector HOST:PORT asks another one"
    )
    return _row("udp", "failed", found, advice, uplink=way.name)


def nat_kind(way: Way) -> NatKind | None:
    """Of what kind the NAT is; None: the reflector did not tell enough."""
    if way.seen.seen is None:
        return None
    if way.places is not None and way.places[0] != way.places[1]:
        return "symmetric"
    if way.seen.seen == way.seen.local:
        return "none"
    if way.places is None or way.changed is None:
        return "endpoint-independent"
    return "address-restricted" if way.changed.answered else "port-restricted"


def nat(way: Way, callable_: bool) -> NetCheckRow | None:
    """What a NAT or a firewall on the way lets in. ``callable_``: peers are told an endpoint to call."""
    kind, seen = nat_kind(way), way.seen.seen
    if kind is None or seen is None:
        return None
    at = f"seen at {_place(seen)}"
    shut = way.changed is not None and not way.changed.answered
    match kind:
        case "none" if shut and callable_:
            found = f"no NAT, {at}, but a firewall lets in nothing but answers"
            advice = f"let UDP {way.port} in, or peers behind NATs reach this host by a relay alone"
            return _nat(way, "degraded", found, kind, advice)
        case "none":
            return _nat(way, "ok", f"no NAT, {at}", kind)
        case "endpoint-independent":
            return _nat(way, "ok", f"a NAT that keeps its port, {at}; what it lets in is not known", kind)
        case "address-restricted":
            return _nat(way, "ok", f"a NAT that opens to whoever lives at an address called, {at}", kind)
        case "port-restricted":
            found = (
                f"a NAT that opens to the very port called, {at}; to hosts behind symmetric NATs by a relay"
            )
            return _nat(way, "ok", found, kind)
        case "symmetric":
            found = f"a symmetric NAT, {at}, elsewhere by others: with some peers by a relay only"
            advice = (
                f"forward UDP {way.port} to this host and say so in uplink.endpoint, or have a relay near"
            )
            return _nat(way, "degraded", found, kind, advice)


def mtu(way: Way, interface_mtu: int) -> NetCheckRow | None:
    """Whether a full packet of the overlay goes through in one piece, also over a relay."""
    sizes = way.sizes
    if sizes is None or not sizes.passed:
        return None
    least = interface_mtu + SEALS + _HEADERS[6 if ":" in way.reflector[0] else 4]
    found = f"{sizes.passed} bytes go there and back"
    if sizes.lost is not None:
        why = (
            "this host's interface takes no more"
            if sizes.local
            else "larger ones vanish without a word of ICMP"
        )
        if sizes.told is not None:
            why = f"ICMP says that {sizes.told} fit"
        found += f", {sizes.lost} do not: {why}"
    if sizes.passed >= least:
        return _row("mtu", "ok", found, uplink=way.name, mtu=sizes.passed)
    fits = sizes.passed - SEALS - _HEADERS[6 if ":" in way.reflector[0] else 4]
    if sizes.passed < LEAST_MTU:
        advice = f"the way has to carry {LEAST_MTU} bytes; is a tunnel in it that could be without?"
        return _row("mtu", "failed", found, advice, uplink=way.name, mtu=sizes.passed)
    advice = (
        f"packets above {fits} go in two pieces where a relay is used: "
        f"say uplink.mtu = {sizes.passed}" + (f" and engine.mtu = {fits}" if fits >= LEAST_MTU else "")
    )
    return _row("mtu", "degraded", found, advice, uplink=way.name, mtu=sizes.passed)


def whole(rows: Iterable[NetCheckRow]) -> Verdict:
    """The worst of all."""
    verdicts = {row.verdict for row in rows}
    return "failed" if "failed" in verdicts else "degraded" if "degraded" in verdicts else "ok"


def _nat(way: Way, verdict: Verdict, found: str, kind: NatKind, advice: str | None = None) -> NetCheckRow:
    if not way.from_port:
        found += f" (asked from another port than {way.port}, which is in use)"
    seen = None if way.seen.seen is None else _place(way.seen.seen)
    return _row("nat", verdict, found, advice, uplink=way.name, nat=kind, seen_at=seen)


def _row(
    check: Kind,
    verdict: Verdict,
    found: str,
    advice: str | None = None,
    *,
    uplink: str | None = None,
    rtt_ms: float | None = None,
    mtu: int | None = None,
    nat: NatKind | None = None,
    seen_at: str | None = None,
    clock_offset_s: float | None = None,
) -> NetCheckRow:
    return NetCheckRow(check, uplink, verdict, found, advice, rtt_ms, mtu, nat, seen_at, clock_offset_s)


def _place(place: Place) -> str:
    return f"[{place[0]}]:{place[1]}" if ":" in place[0] else f"{place[0]}:{place[1]}"


def _span(seconds: float) -> str:
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"
