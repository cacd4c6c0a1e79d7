"""Configurations on trial and faulty ones, on a host that datagrams arrive at. I/O: hosts.

Called by `tests.systemd`; more of it, without systemd, in tests/network/lab/test_configuration.py.
"""

import time

from tests.systemd.machines import Machine
from tests.systemd.traffic import CLAIMED_S, Act, Report, during, main_pid, well_again

FILE = "/etc/overlayd/overlayd.toml"
TRIAL_S = 10
RESTARTS_S = 4.0
"""What two starts of an engine, into the trial and out of it, may cost beyond the trial."""
MTU = "cat /sys/class/net/overlay0/mtu"


def trials(hosts: dict[str, Machine]) -> list[Report]:
    """Each leaves the host with the file, the processes' configuration and the interface that it had."""
    rome = hosts["rome"]
    apply = f"overlayctl config apply /root/new.toml --confirm-within {TRIAL_S}s"

    def cut_off() -> None:
        """Bind the uplink to loopback: nobody reaches this host any more, nor does it reach anybody."""
        rome.shell(f"sed 's/^address = .*/address = \"127.0.0.1\"/' {FILE} > new.toml && {apply} --restart")

    def narrow() -> None:
        rome.shell(f"(cat {FILE}; printf '[engine]\\nmtu = 1280\\n') > new.toml && {apply}")
        if rome.shell(MTU).strip() != "1280":
            raise SystemExit("the configuration on trial is not in force")

    def spoil() -> None:
        rome.shell(
            f"cp {FILE} good.toml && printf '[engine]\\nmtuu = 1280\\n[log]\\nlevel = \"debug\"\\n' >> {FILE}"
        )
        for unit in ("engine", "agent"):
            rome.shell(f"systemctl reload overlayd-{unit}")
        time.sleep(2)
        said = rome.shell(
            "journalctl --since -10s -u 'overlayd-*' | grep -c \"did you mean 'mtu'\"", check=False
        )
        rome.shell(f"cp good.toml {FILE}")
        if int(said) != 2:
            raise SystemExit(
                f"a faulty file was named {said.strip()} times in the log, not by engine and agent"
            )

    return [
        _tried(
            hosts, "a configuration that cuts the host off, not confirmed", cut_off, TRIAL_S + 20.0, anew=True
        ),
        _tried(hosts, "a narrower interface, not confirmed", narrow, TRIAL_S + 4.0),
        _tried(hosts, "reload of a faulty file", spoil, 6.0),
    ]


def _tried(hosts: dict[str, Machine], what: str, act: Act, watch_s: float, *, anew: bool = False) -> Report:
    """``anew``: the engine starts anew for it, and the host is away for the trial."""
    rome = hosts["rome"]
    before = _stands(rome)
    report = during(hosts, act, watch_s)
    after = _stands(rome)
    bound = report["lost"] == 0
    if anew:
        del before["engine"], after["engine"]
        bound = TRIAL_S - 1 <= report["silence_s"] <= TRIAL_S + RESTARTS_S
    report = {
        "what": what,
        **report,
        "well again": well_again(hosts) and before == after,
        "within bounds": bound and report["claimed_s"] <= CLAIMED_S,
        "says so": not anew or bool(report["told"]),
    }
    print(time.strftime("%H:%M:%S"), report, flush=True)
    return report


def _stands(machine: Machine) -> dict[str, str]:
    """What is to be as it was."""
    return {
        "file": machine.shell(f"sha256sum {FILE}"),
        "mtu": machine.shell(MTU),
        "engine": main_pid(machine, "overlayd-engine"),
        "agent": main_pid(machine, "overlayd-agent"),
    }
