"""Network namespaces and veth pairs, through pyroute2. I/O, needs CAP_SYS_ADMIN; called by `runner` and
`check`.
"""

import os
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyroute2  # pyright: ignore[reportMissingTypeStubs]
from pyroute2 import netns as _pyroute2_netns  # pyright: ignore[reportMissingTypeStubs]

from sim.lab.errors import LabError

# The package has no types; what comes out of it is given one here, and nowhere else.
_netns: Any = _pyroute2_netns
_IPRoute: Any = pyroute2.IPRoute
_NetlinkError: type[Exception] = pyroute2.NetlinkError

# linux/if.h
_IFF_UP = 0x1
_IFF_LOWER_UP = 0x10000
_FOLDER = Path("/var/run/netns")


def exists(name: str) -> bool:
    return (_FOLDER / name).exists()


def create(name: str) -> None:
    """Make a namespace whose loopback is up. Raises :class:`LabError` where one of that name is there."""
    if exists(name):
        raise LabError(f"network namespace {name} is there already")
    try:
        _netns.create(name)
    except PermissionError as error:
        raise LabError("network namespaces need root (CAP_SYS_ADMIN)") from error
    with inside(name), _IPRoute() as ip:
        ip.link("set", index=1, state="up")


def remove(name: str) -> None:
    """Remove a namespace, and with it its interfaces, once no process is left in it. None there: nothing to
    do.
    """
    if exists(name):
        _netns.remove(name)


@contextmanager
def inside(name: str) -> Generator[None]:
    """Run the calling thread in a namespace. Sockets made there stay there; /proc/sys/net is the
    namespace's own.
    """
    with open("/proc/thread-self/ns/net") as home:
        enter(name)
        try:
            yield
        finally:
            _netns.setns(home.fileno())


def enter(name: str) -> None:
    """Move the calling thread into a namespace for good. Raises :class:`LabError` where there is none."""
    try:
        _netns.setns(name, flags=0)
    except FileNotFoundError:
        raise LabError(f"there is no network namespace {name}") from None


def set_sysctls(values: Mapping[str, str]) -> None:
    """Set kernel settings, ``net.ipv4.ip_forward`` and the like, in the namespace of the calling thread."""
    for key, value in values.items():
        file = Path("/proc/sys", *key.split("."))
        try:
            file.write_text(value)
        except OSError as error:
            raise LabError(f"sysctl {key}={value}: {error.strerror}") from error


def add_veth(a: tuple[str, str], b: tuple[str, str], mtu: int) -> None:
    """Join two namespaces, each given with the name of its interface, by a veth pair that is up at both
    ends.
    """
    (a_space, a_name), (b_space, b_name) = a, b
    with inside(a_space), _IPRoute() as ip:
        try:
            peer = {"ifname": b_name, "mtu": mtu, "net_ns_fd": b_space}
            ip.link("add", ifname=a_name, kind="veth", mtu=mtu, peer=peer)
        except _NetlinkError as error:
            raise LabError(f"veth {a_space}/{a_name} - {b_space}/{b_name}: {error}") from error
    for space, name in (a, b):
        with inside(space), _IPRoute() as ip:
            (index,) = ip.link_lookup(ifname=name)
            ip.link("set", index=index, state="up")


def move(interface: str, name: str, fresh: str) -> None:
    """Move an interface of the calling thread's namespace into another, under a fresh name, and set it up."""
    with _IPRoute() as ip:
        found = ip.link_lookup(ifname=interface)
        if not found:
            raise LabError(f"there is no interface {interface}")
        ip.link("set", index=found[0], state="down")
        ip.link("set", index=found[0], ifname=fresh)
        ip.link("set", index=found[0], net_ns_fd=name)
    with inside(name), _IPRoute() as ip:
        (index,) = ip.link_lookup(ifname=fresh)
        ip.link("set", index=index, state="up")


def wait_for_carrier(name: str, timeout_s: float) -> None:
    """Wait until every interface of a namespace that is up can carry packets: veth ends see each other a
    moment late.

    Raises :class:`LabError` when the time is over.
    """
    deadline = time.monotonic() + timeout_s
    with inside(name), _IPRoute() as ip:
        while True:
            waiting = [
                link.get_attr("IFLA_IFNAME")
                for link in ip.get_links()
                if link["flags"] & _IFF_UP and not link["flags"] & _IFF_LOWER_UP
            ]
            if not waiting:
                return
            if time.monotonic() > deadline:
                raise LabError(f"{name}: no carrier on {', '.join(waiting)}")
            time.sleep(0.01)


def addresses(name: str) -> list[tuple[str, str]]:
    """The addresses of a namespace, each after the interface that has it."""
    with inside(name), _IPRoute() as ip:
        interfaces: dict[int, str] = {link["index"]: link.get_attr("IFLA_IFNAME") for link in ip.get_links()}
        return [
            (interfaces[entry["index"]], entry.get_attr("IFA_LOCAL") or entry.get_attr("IFA_ADDRESS"))
            for entry in ip.get_addr()
        ]


def processes(name: str) -> list[int]:
    """The processes that have a thread in a namespace."""
    try:
        wanted = (_FOLDER / name).stat().st_ino
    except FileNotFoundError:
        return []
    found: list[int] = []
    for entry in os.listdir("/proc"):
        if not entry.isdecimal():
            continue
        try:
            if os.stat(f"/proc/{entry}/ns/net").st_ino == wanted:
                found.append(int(entry))
        except OSError:
            continue  # it has ended meanwhile
    return found
