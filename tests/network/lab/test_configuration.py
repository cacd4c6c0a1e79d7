"""Configurations change, are refused, and go back by themselves while traffic runs."""

import os
import re
import signal
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from sim.lab import netns
from sim.lab.probe import Measurement
from tests.network.lab.conftest import SITES
from tests.network.lab.mesh import SETTLE_S, Mesh, wait_until

HERE, THERE = SITES[:2]
TRIAL_S = 2
LONGER = (1, 4, 16, 64)
"""Of that: a busy machine may be too late for a short trial."""
NOT_ON_TRIAL = 4


@pytest.fixture
def mesh(pair: Mesh) -> Iterator[Mesh]:
    """The pair, with the configuration that it had before at the end."""
    wait_until(lambda: all(pair.online(site) for site in SITES[:2]))
    pair.settle(HERE, THERE)
    file = configuration(pair)
    whole = file.read_text()
    yield pair
    file.write_text(whole)
    hang_up(pair)
    wait_until(lambda: interface_mtu(pair) == 1380 and pair.online(HERE), lambda: pair.log(HERE))
    pair.settle(HERE, THERE)


def configuration(mesh: Mesh) -> Path:
    return mesh.place.node(HERE) / "overlayd.toml"


def changed(mesh: Mesh, **values: str) -> str:
    """The configuration with other values: ``engine_mtu="1300"``."""
    text = configuration(mesh).read_text()
    for name, value in values.items():
        section, _, key = name.partition("_")
        if section == "uplink":
            text, count = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
            text = text if count else text.replace("[[uplink]]", f"[[uplink]]\n{key} = {value}")
        else:
            text += f"\n[{section}]\n{key} = {value}\n"
    return text


def hang_up(mesh: Mesh) -> None:
    """What `systemctl reload` sends to both; `overlayd run` passes it on."""
    for role in ("engine", "agent"):
        os.kill(mesh.pid(HERE, role), signal.SIGHUP)


def interface_mtu(mesh: Mesh) -> int:
    with netns.inside(mesh.namespaces[HERE]):
        said = os.popen("ip -o link show overlay0").read()
    found = re.search(r" mtu (\d+) ", said)
    return int(found[1]) if found else 0


def with_traffic(
    mesh: Mesh, act: Callable[[], object], count: int, patience_s: float = SETTLE_S
) -> Measurement:
    """Probes every 5 ms from before ``act`` until well after it."""
    with ThreadPoolExecutor(1) as pool:
        acting: list[Future[object]] = []
        met = mesh.probe(
            HERE, THERE, count=count, act=lambda: acting.append(pool.submit(act)), patience_s=patience_s
        )
        acting[0].result()
    return met


def apply(mesh: Mesh, text: str, *words: str) -> str:
    """`overlayctl config apply` of ``text``; what it said."""
    new = mesh.place.node(HERE) / "new.toml"
    new.write_text(text)
    done = mesh.ctl(HERE, "config", "apply", str(new), "--config", str(configuration(mesh)), *words)
    assert done.returncode == 0, done
    return done.stdout


def test_a_reload_changes_what_is_live_and_loses_no_packet(mesh: Mesh) -> None:
    generation = mesh.ask(THERE, "status")["controller"]["generation"]
    configuration(mesh).write_text(
        changed(mesh, uplink_mtu="1400", engine_mtu="1320", metrics_listen='"127.0.0.1:9460"')
    )
    met = with_traffic(mesh, lambda: hang_up(mesh), 400)
    assert met.loss_ratio == 0
    wait_until(lambda: interface_mtu(mesh) == 1320)
    wait_until(lambda: {row["mtu"] for row in mesh.ask(HERE, "links")["links"]} == {1400})
    with netns.inside(mesh.namespaces[HERE]):
        served = urllib.request.urlopen("http://127.0.0.1:9460/metrics", timeout=60).read()
    assert b"overlayd_link_rtt_seconds" in served
    # The other end is told: its links are as wide as the narrower of both.
    wait_until(lambda: mesh.ask(THERE, "status")["controller"]["generation"] > generation)


def test_a_faulty_reload_changes_nothing_says_why_and_loses_no_packet(mesh: Mesh) -> None:
    before = (mesh.pid(HERE, "engine"), mesh.pid(HERE, "agent"))
    configuration(mesh).write_text(changed(mesh, engine_mtuu="1320", log_level='"debug"'))
    met = with_traffic(mesh, lambda: hang_up(mesh), 300)
    assert met.loss_ratio == 0
    said = "nothing has changed problem=.*engine.mtuu: unknown key; did you mean 'mtu'"
    wait_until(lambda: len(re.findall(said, mesh.log(HERE))) == 2, lambda: mesh.log(HERE))
    assert (mesh.pid(HERE, "engine"), mesh.pid(HERE, "agent")) == before
    assert interface_mtu(mesh) == 1380


def test_what_is_confirmed_stays_and_loses_no_packet(mesh: Mesh) -> None:
    text = changed(mesh, engine_mtu="1320")

    def act() -> None:
        for times in LONGER:
            assert "engine.mtu" in apply(mesh, text, "--confirm-within", f"{times * TRIAL_S}s")
            done = mesh.ctl(HERE, "config", "confirm", "--config", str(configuration(mesh)))
            if done.returncode != NOT_ON_TRIAL:
                break
        assert done.returncode == 0, done

    met = with_traffic(mesh, act, 200 * (TRIAL_S + 3))
    assert met.loss_ratio == 0
    assert (interface_mtu(mesh), configuration(mesh).read_text()) == (1320, text)


def test_what_is_not_confirmed_goes_back_though_agent_is_killed_and_loses_no_packet(mesh: Mesh) -> None:
    before = configuration(mesh).read_text()
    text = changed(mesh, engine_mtu="1320")
    seen: list[int] = []

    def in_force(within_s: int) -> bool:
        """Whether it is before the trial is over."""
        apply(mesh, text, "--confirm-within", f"{within_s}s")
        while mesh.ask(HERE, "config-trial")["on_trial"]:
            if interface_mtu(mesh) == 1320:
                return True
        return False

    def act() -> None:
        assert any(in_force(times * TRIAL_S) for times in LONGER)
        seen.append(mesh.pid(HERE, "agent"))
        os.kill(seen[0], signal.SIGKILL)

    met = with_traffic(mesh, act, 200 * (TRIAL_S + 3))
    assert met.loss_ratio == 0
    wait_until(lambda: interface_mtu(mesh) == 1380, lambda: mesh.log(HERE))
    assert configuration(mesh).read_text() == before
    wait_until(lambda: mesh.pids(HERE, "agent") not in ([], seen) and mesh.online(HERE))
    assert not mesh.document(HERE, "config", "diff", str(configuration(mesh)))["changes"]


def test_what_cuts_the_host_off_is_in_force_for_the_trial_and_no_longer(mesh: Mesh) -> None:
    """An uplink at loopback reaches nobody. Both processes are killed meanwhile: the end needs neither."""
    uplink = '"127.0.0.1"'
    text = changed(mesh, uplink_address=uplink)
    refused = mesh.place.node(HERE) / "refused.toml"
    refused.write_text(text)
    words = ("config", "apply", str(refused), "--config", str(configuration(mesh)))
    done = mesh.ctl(HERE, *words, "--confirm-within", "5s")
    assert done.returncode == 7 and "uplink[0].address" in done.stderr and "--restart" in done.stderr

    def act() -> None:
        before = mesh.pid(HERE, "engine")
        apply(mesh, text, "--restart", "--confirm-within", f"{TRIAL_S}s")
        wait_until(lambda: mesh.pids(HERE, "engine") not in ([], [before]))
        for role in ("agent", "engine"):
            for pid in mesh.pids(HERE, role):
                os.kill(pid, signal.SIGKILL)

    assert with_traffic(mesh, act, 200 * (TRIAL_S + 3), patience_s=1.0).outage_ns > 0
    mesh.settle(HERE, THERE)
    wait_until(lambda: mesh.online(HERE) and not mesh.ask(HERE, "config-trial")["on_trial"])
    assert uplink not in configuration(mesh).read_text()
