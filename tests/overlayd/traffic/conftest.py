"""A network namespace for each test, and servers in it that stand for instances of an app."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pyroute2  # pyright: ignore[reportMissingTypeStubs]
import pytest

from overlayd.traffic.traffic import Traffic


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> Iterator[str]:
    """This thread, and what it starts, is in a namespace with nothing but loopback. Fails without root."""
    if os.geteuid() != 0:
        pytest.fail("makes network namespaces: run as root")
    name = f"traffic-{os.getpid()}-{abs(hash(request.node.nodeid)) % 10**6}"
    pyroute2.netns.create(name)
    pyroute2.netns.pushns(name)
    try:
        with pyroute2.IPRoute() as netlink:
            netlink.link("set", index=1, state="up")
        yield name
    finally:
        pyroute2.netns.popns()
        pyroute2.netns.remove(name)


@pytest.fixture
def runtime_dir(namespace: str) -> Iterator[Path]:
    """A short path, for Unix sockets, that HAProxy's user may pass through. In a namespace only."""
    directory = Path("/run") / namespace
    directory.mkdir()
    mask = os.umask(0o077)  # as the unit has it
    yield directory
    os.umask(mask)
    for left in Path("/run").glob(f"{namespace}*"):
        shutil.rmtree(left)


@asynccontextmanager
async def carried(runtime_dir: Path, wanted: Callable[[str], None] | None = None) -> AsyncIterator[Traffic]:
    """A `Traffic` whose programs are gone at the end."""
    traffic = Traffic(runtime_dir, wanted or ignored)
    try:
        yield traffic
    finally:
        await asyncio.wait_for(traffic.clear(), 120)


def ignored(_: object) -> None:
    """For what is told and not looked at."""
