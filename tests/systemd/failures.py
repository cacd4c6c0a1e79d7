"""What ends, stops, or runs out, one case after the other: what traffic lost, and what `status` said.

The controller is on paris, the host concerned is rome, the sender oslo. A case holds if everything came back
without a hand (but for the cause, where that is a disk), nothing dead was called alive, and no more was lost
than ``Case`` allows. Called by `tests.systemd`. I/O: hosts.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.systemd.disks import Disk, own_var
from tests.systemd.machines import Machine
from tests.systemd.traffic import CLAIMED_S, Act, Report, during, main_pid, well_again

HOLDS = ("well again", "within bounds", "says so")
"""What is true of a case that holds."""
OnDisk = Callable[[Disk], None]
DISK_SEEN_S = 40.0
"""An agent looks at its disk every 30 s."""
AWAY_S = 3.0
"""An engine's start, by systemd, on two cores with other work on them."""
HOG_MB = 300
"""What the agent's unit may use, and a process in it takes more of."""


@dataclass(frozen=True, slots=True)
class Case:
    """``silence_s``: at most that long without a datagram; None: none may be lost.

    ``says``: a pattern that has to be in what the host says of itself meanwhile.
    """

    what: str
    act: Act
    watch_s: float = 8.0
    silence_s: float | None = None
    says: str = ""
    at: str = "rome"


def failures(hosts: dict[str, Machine]) -> list[Report]:
    """All cases, in their order."""
    return [
        *_endings(hosts),
        *_disk(hosts, "full disk", "No space left", Disk.fill, Disk.make_room),
        *_disk(hosts, "read-only /var", "Read-only file system", Disk.fail, Disk.repair),
        *_memory(hosts),
    ]


def table(reports: list[Report]) -> str:
    """Return the cases as the table of docs/operations.md."""
    rows = [
        f"| {one['what']} | {one['lost']:,} of {one['sent']:,} | {one['silence_s']:.2f} s"
        f" | {'; '.join(one['told']) or 'whole'} |"
        for one in reports
    ]
    return "\n".join(
        (
            "| what | datagrams lost | longest silence | its host's `status` meanwhile |",
            "|---|---|---|---|",
            *rows,
        )
    )


def _endings(hosts: dict[str, Machine]) -> list[Report]:
    rome, paris = hosts["rome"], hosts["paris"]
    cases = (
        Case("kill -9 of the agent", _signal(rome, "KILL", "agent")),
        Case("kill -9 of the controller", _signal(paris, "KILL", "controller"), at="paris"),
        Case("kill -9 of the engine", _signal(rome, "KILL", "engine"), silence_s=AWAY_S),
        Case("SIGSTOP of the engine (watchdog)", _signal(rome, "STOP", "engine"), 25, 15, "said nothing"),
        Case("SIGSTOP of the agent (watchdog)", _signal(rome, "STOP", "agent"), 45, says="no agent"),
        Case("`systemctl reload` of all", lambda: _reload(hosts), 5),
    )
    return [_try(hosts, case) for case in cases]


def _disk(hosts: dict[str, Machine], what: str, says: str, begin: OnDisk, end: OnDisk) -> list[Report]:
    """/var of a host, then the controller's, is as ``begin`` leaves it until ``end``, while processes end."""
    rome, paris = hosts["rome"], hosts["paris"]
    of_host = (
        Case(what, _nothing, DISK_SEEN_S, says=says),
        Case(f"{what}, and kill -9 of the agent", _signal(rome, "KILL", "agent"), 12, says=says),
        Case(f"{what}, and kill -9 of the engine", _signal(rome, "KILL", "engine"), 12, AWAY_S, says),
    )
    of_controller = (
        Case(f"{what} of the controller", _nothing, DISK_SEEN_S, says=says, at="paris"),
        Case(
            f"{what} of the controller, and kill -9 of it",
            _signal(paris, "KILL", "controller"),
            says=says,
            at="paris",
        ),
    )
    done: list[Report] = []
    for machine, cases in ((rome, of_host), (paris, of_controller)):
        with own_var(machine) as disk:
            begin(disk)
            try:
                done += [_try(hosts, case, whole=False) for case in cases]
            finally:
                end(disk)
            done[-1]["well again"] = done[-1]["well again"] and well_again(hosts)
    return done


def _memory(hosts: dict[str, Machine]) -> list[Report]:
    """A process in the agent's control group takes all that the group may have; the kernel ends the agent."""
    rome = hosts["rome"]
    rome.shell(f"systemctl set-property --runtime overlayd-agent MemoryMax={HOG_MB}M")
    pid = main_pid(rome, "overlayd-agent")
    group = rome.shell(f"grep -E ':(memory)?:.*overlayd-agent' /proc/{pid}/cgroup")  # version 1 or 2
    controllers, path = group.splitlines()[0].strip().split(":")[1:]
    procs = f"/sys/fs/cgroup/{'memory' if controllers else 'unified'}{path}/cgroup.procs"
    hog = (
        f"sh -c 'echo $$ > {procs} && echo 1000 > /proc/{pid}/oom_score_adj && "
        f'exec python3 -c "import time; kept = b\\"x\\" * ({HOG_MB - 20} << 20); time.sleep(9)"\''
    )
    before = rome.shell("systemctl show --value -p NRestarts overlayd-agent")
    report = _try(hosts, Case("the agent out of memory", lambda: rome.shell(hog, check=False), 12))
    after = rome.shell("systemctl show --value -p NRestarts overlayd-agent")
    report["well again"] = report["well again"] and int(after) > int(before)
    rome.shell("systemctl set-property --runtime overlayd-agent MemoryMax=")
    return [report]


def _try(hosts: dict[str, Machine], case: Case, *, whole: bool = True) -> Report:
    """Have it happen. ``whole``: all hosts are to be whole again after it, not only to run."""
    report = during(hosts, case.act, case.watch_s, hosts[case.at])
    bound = report["lost"] == 0 if case.silence_s is None else report["silence_s"] <= case.silence_s
    running = [
        machine.shell(f"systemctl is-active overlayd-{unit}", check=False).strip() == "active"
        for machine, unit in ((hosts["rome"], "engine"), (hosts["rome"], "agent"))
    ]
    report = {
        "what": case.what,
        **report,
        "well again": all(running) and (not whole or well_again(hosts)),
        "within bounds": bound and report["claimed_s"] <= CLAIMED_S,
        "says so": any(re.search(case.says, problem) for problem in report["told"]) or not case.says,
    }
    print(time.strftime("%H:%M:%S"), report, flush=True)
    return report


def _signal(machine: Machine, signal: str, unit: str) -> Act:
    return lambda: machine.shell(f"systemctl kill --signal={signal} overlayd-{unit}")


def _reload(hosts: dict[str, Machine]) -> None:
    hosts["rome"].shell("systemctl reload overlayd-engine overlayd-agent")
    hosts["paris"].shell("systemctl reload overlayd-controller")


def _nothing() -> None:
    """What is wrong is so already."""
