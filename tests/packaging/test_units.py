"""The systemd units: what each service may do, and that what they start exists."""

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from controller.server.service import WATCH_S
from overlayd.daemon.agent import TICK_S
from overlayd.daemon.engine import CHECK_S
from overlayd.daemon.host import SYSCTL
from overlayd.workload.unit import TICK_S as LOOK_AROUND_S

ROOT = Path(__file__).parents[2]
SERVICES = ("overlayd-engine", "overlayd-agent", "overlayd-controller")
MAY_DIFFER = {"CapabilityBoundingSet", "AmbientCapabilities", "RestrictAddressFamilies", "UMask"}
OWN_OF_ENGINE = {"DeviceAllow": ["/dev/net/tun rw"], "DevicePolicy": ["closed"]}


def service_section(name: str) -> dict[str, list[str]]:
    """The settings of the unit's [Service] section; a setting may be given several times."""
    settings: defaultdict[str, list[str]] = defaultdict(list)
    section = ""
    for line in (ROOT / f"packaging/systemd/{name}.service").read_text("utf-8").splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line and not line.startswith("#"):
            key, _, value = line.partition("=")
            settings[key].append(value)
    return dict(settings)


@pytest.mark.parametrize(
    ("name", "capabilities"),
    [("overlayd-engine", "CAP_NET_ADMIN"), ("overlayd-agent", ""), ("overlayd-controller", "")],
)
def test_only_the_engine_holds_a_capability_and_only_one(name: str, capabilities: str) -> None:
    settings = service_section(name)
    assert settings["CapabilityBoundingSet"] == settings["AmbientCapabilities"] == [capabilities]


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_runs_as_root_or_shares_its_state(name: str) -> None:
    settings = service_section(name)
    assert settings["User"] == [name]
    assert settings["StateDirectoryMode"] == ["0700"]
    assert f"u {name} " in "".join(
        file.read_text("utf-8") for file in sorted((ROOT / "packaging/sysusers.d").iterdir())
    )


@pytest.mark.parametrize(
    ("name", "fed_every_s"),
    [
        ("overlayd-engine", CHECK_S),
        ("overlayd-agent", TICK_S),
        ("overlayd-controller", WATCH_S),
        ("overlayd-workload", LOOK_AROUND_S),
    ],
)
def test_a_service_that_stands_still_is_started_anew_and_a_slow_one_is_not(
    name: str, fed_every_s: float
) -> None:
    (patience,) = service_section(name)["WatchdogSec"]
    assert 4 * fed_every_s <= float(patience.removesuffix("s")) <= 60


def test_the_unit_of_applications_is_root_with_what_it_needs_and_outlived_by_what_it_runs() -> None:
    settings = service_section("overlayd-workload")
    assert settings["User"] == ["root"] and settings["AmbientCapabilities"] == [""]
    (held,) = settings["CapabilityBoundingSet"]
    assert held.split() == ["CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE"]
    assert settings["NoNewPrivileges"] == settings["MemoryDenyWriteExecute"] == ["yes"]
    assert settings["StateDirectoryMode"] == ["0700"]
    assert settings["RuntimeDirectory"] == ["overlayd-traffic"]
    assert settings["RuntimeDirectoryPreserve"] == ["yes"], "what carries users has its files in it"


def test_the_engine_may_write_the_kernel_parameters_that_it_sets_and_no_others() -> None:
    settings = service_section("overlayd-engine")
    assert settings["ReadWritePaths"] == [str(SYSCTL)]
    assert settings["ProtectKernelTunables"] == ["yes"]


@pytest.mark.parametrize("name", (*SERVICES, "overlayd-workload"))
def test_units_start_commands_that_exist_with_options_that_they_take(name: str) -> None:
    (line,) = service_section(name)["ExecStart"]
    command, role, option, value = line.split()
    script = Path(sys.executable).with_name(command)
    told = subprocess.run([script, role, "--help"], capture_output=True, text=True, check=True, timeout=60)
    assert option in told.stdout
    assert value.startswith(("/etc/overlayd/", "/var/lib/"))


def test_every_service_stands_in_the_same_sandbox() -> None:
    engine, agent, controller = (
        {key: value for key, value in sandbox(name).items() if key not in MAY_DIFFER} for name in SERVICES
    )
    assert agent == controller
    assert agent.pop("PrivateDevices") == ["yes"]
    assert engine == agent | OWN_OF_ENGINE


def sandbox(name: str) -> dict[str, list[str]]:
    """The settings from `NoNewPrivileges` on, where the sandbox begins in every unit."""
    settings = service_section(name)
    keys = list(settings)
    return {key: settings[key] for key in keys[keys.index("NoNewPrivileges") :]}
