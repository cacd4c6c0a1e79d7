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
from overlayd.traffic.configuration import NO_GROUP
from overlayd.traffic.listeners import route_of

_ENTRY = re.compile(r"key=(\S+) .*?conn_cnt=(\d+) http_req_cnt=(\d+) bytes_in_cnt=(\d+) bytes_out_cnt=(\d+)")
Key = tuple[str, str]
"""A proxy of HAProxy and a group of users; the group is empty for all together."""


class Counts(NamedTuple):
    """Requests (TCP: connections, UDP: datagrams), failed ones, refused ones; bytes from and to users."""

    requests: int = 0
    failed: int = 0
    refused: int = 0
    received: int = 0
    sent: int = 0

    def plus(self, other: Self) -> "Counts":
        """Add up."""
        return Counts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def since(self, before: Self) -> "Counts":
        """Return by how much these are more; what is less was counted anew."""
        return Counts(*(now - then if now >= then else now for now, then in zip(self, before, strict=True)))


def parse_stat(answer: str) -> dict[Key, Counts]:
    """Read ``show stat`` of frontends and backends: what each listener counted of all its users."""
    found: dict[Key, Counts] = {}
    for row in csv.DictReader(answer.lstrip("# ").splitlines()):
        http = row.get("mode") == "http"
        count = {name: int(value) for name, value in row.items() if value and value.isdigit()}.get
        if row["svname"] == "FRONTEND":
            counts = Counts(
                requests=count("req_tot" if http else "stot", 0),
                failed=count("hrsp_5xx", 0),
                refused=count("dreq", 0) + count("dcon", 0),
                received=count("bin", 0),
                sent=count("bout", 0),
            )
        elif row["svname"] == "BACKEND" and not http and (row["pxname"], "") in found:  # no table of ours
            counts = Counts(failed=count("econ", 0) + count("eresp", 0))
        else:
            continue
        key = (row["pxname"], "")
        found[key] = found.get(key, Counts()).plus(counts)
    return found


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

    def count(self, worker: int, counts: Mapping[Key, Counts]) -> None:
        """Take what ``worker`` has counted by now."""
        seen = self._seen.setdefault(worker, {})
        for key, now in counts.items():
            grown = now.since(seen.get(key, Counts()))
            self.totals[key] = self.totals.get(key, Counts()).plus(grown)
        seen.update(counts)

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
