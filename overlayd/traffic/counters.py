"""What users asked of routes, out of HAProxy's own counters. Pure.

A HAProxy that is reloaded counts in a new process from zero while the one before counts on; each process's
counters only grow, so what is asked in all is the sum of what each grew by. Called by `traffic`.
"""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from overlayd.protocol.workload import Asked, Demand
from overlayd.traffic import servers
from overlayd.traffic.configuration import NO_GROUP
from overlayd.traffic.listeners import route_of

_ENTRY = re.compile(r"key=(\S+) .*?conn_cnt=(\d+) http_req_cnt=(\d+) bytes_in_cnt=(\d+) bytes_out_cnt=(\d+)")
_STATUSES = ("2xx", "3xx", "4xx", "5xx", "other")
Key = tuple[str, str]
"""A proxy of HAProxy and a group of users; the group is empty for all together."""
Slot = tuple[str, str]
"""A proxy and one of its servers."""


class Counts(NamedTuple):
    """Requests (TCP: connections, UDP: datagrams), failed ones, refused ones; bytes from and to users; tries
    beyond the first; times that an instance was left out.
    """

    requests: int = 0
    failed: int = 0
    refused: int = 0
    received: int = 0
    sent: int = 0
    retried: int = 0
    ejected: int = 0

    def plus(self, other: Self) -> "Counts":
        """Add up."""
        return Counts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def since(self, before: Self) -> "Counts":
        """Return by how much these are more; what is less was counted anew."""
        return Counts(*(now - then if now >= then else now for now, then in zip(self, before, strict=True)))


@dataclass(frozen=True, slots=True)
class Stat:
    """What a process of HAProxy has counted: of its proxies' users, and at each of its ``slots``, which lead
    to ``endpoints`` (``10.0.0.1:80``). ``out``: slots that it leaves out now.
    """

    users: dict[Key, Counts]
    slots: dict[Slot, Counts]
    endpoints: dict[Slot, str]
    out: frozenset[Slot]


def parse_stat(answer: str) -> Stat:
    """Read ``show stat`` of frontends, servers and backends, which come in that order."""
    stat = Stat({}, {}, {}, frozenset())
    out: set[Slot] = set()
    for row in csv.DictReader(answer.lstrip("# ").splitlines()):
        proxy, name, http = row["pxname"], row["svname"], row.get("mode") == "http"
        count = {name: int(value) for name, value in row.items() if value and value.isdigit()}.get
        asked = count("req_tot" if http else "stot", 0)
        unanswered = count("econ", 0) + count("eresp", 0)
        if name == "FRONTEND":
            counts = Counts(
                requests=asked,
                failed=count("hrsp_5xx", 0),
                refused=count("dreq", 0) + count("dcon", 0),
                received=count("bin", 0),
                sent=count("bout", 0),
            )
        elif (
            proxy,
            "",
        ) not in stat.users or name == servers.WAKER:  # a table of ours; who waits has not failed
            continue
        elif name == "BACKEND":
            retried = count("wretr", 0) + count("wredis", 0)
            counts = Counts(failed=0 if http else unanswered, retried=retried)
        else:
            answered = sum(count(f"hrsp_{status}", 0) for status in _STATUSES)
            tried = answered + unanswered if http else max(asked, unanswered)
            stat.slots[proxy, name] = Counts(requests=tried, failed=count("hrsp_5xx", 0) + unanswered)
            stat.endpoints[proxy, name] = row.get("addr") or ""
            if row["status"].startswith("DOWN"):
                out.add((proxy, name))
            counts = Counts(ejected=count("chkdown", 0))
        stat.users[proxy, ""] = stat.users.get((proxy, ""), Counts()).plus(counts)
    return Stat(stat.users, stat.slots, stat.endpoints, frozenset(out))


def parse_table(proxy: str, http: bool, answer: str) -> dict[Key, Counts]:
    """Read ``show table`` of a route's groups."""
    found: dict[Key, Counts] = {}
    for group, connections, requests, received, sent in _ENTRY.findall(answer):
        asked = int(requests if http else connections)
        found[proxy, group] = Counts(requests=asked, received=int(received), sent=int(sent))
    return found


@dataclass(slots=True)
class Meter:
    """Adds up what processes count. ``totals`` grow as long as this lives."""

    totals: dict[Key, Counts] = field(default_factory=dict[Key, Counts])
    _seen: dict[int, dict[Key, Counts]] = field(default_factory=dict[int, dict[Key, Counts]])
    _told: dict[Key, Counts] = field(default_factory=dict[Key, Counts])

    def begin(self, worker: int, counts: Mapping[Key, Counts]) -> None:
        """What ``worker`` counted before this life was told by the one before."""
        self._seen.setdefault(worker, dict(counts))

    def count(self, worker: int, counts: Mapping[Key, Counts]) -> dict[Key, Counts]:
        """Take what ``worker`` has counted by now; return by how much that is more than before."""
        seen = self._seen.setdefault(worker, {})
        grown = {key: now.since(seen.get(key, Counts())) for key, now in counts.items()}
        for key, more in grown.items():
            self.totals[key] = self.totals.get(key, Counts()).plus(more)
        seen.update(counts)
        return grown

    def keep(self, workers: Iterable[int]) -> None:
        """Forget processes that have ended."""
        for gone in self._seen.keys() - set(workers):
            del self._seen[gone]

    def demand(self, seconds: float) -> Demand:
        """Return what was asked since the last demand, ``seconds`` ago: by group where groups are counted."""
        grown = {key: now.since(self._told.get(key, Counts())) for key, now in self.totals.items()}
        self._told = dict(self.totals)
        grouped = {proxy for proxy, group in self.totals if group}
        return Demand(
            seconds,
            tuple(
                Asked(
                    route_of(proxy),
                    "" if group == NO_GROUP else group,
                    counts.requests,
                    counts.received + counts.sent,
                )
                for (proxy, group), counts in sorted(grown.items())
                if counts.requests and bool(group) == (proxy in grouped)
            ),
        )
