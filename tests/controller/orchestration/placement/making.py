"""Small worlds for tests of placement."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from controller.orchestration.placement.wanted import Bounds, Wanted
from controller.orchestration.placement.world import Host, PathFigures, Users, World

ROOM = {"cpu": 4000.0, "memory": 8.0 * 2**30}


def host(name: str, **said: object) -> Host:
    """Return a node with four idle cores."""
    return replace(Host(name, capacity=ROOM, free=ROOM), **said)  # type: ignore[arg-type]


def figures(ms: np.ndarray, sd_ms: float = 2.0) -> PathFigures:
    ms = ms.astype(np.float32)
    none = np.zeros_like(ms)
    return PathFigures(ms, np.full_like(ms, sd_ms), none, none, np.full_like(ms, np.nan))


def line(*hosts: Host, step_ms: float = 20.0, **groups: Mapping[int, float]) -> World:
    """Return nodes in a row, each ``step_ms`` from the next; groups of users by the node where they enter."""
    at = np.arange(len(hosts))
    users = {
        f"default/{name}": Users(
            np.array(list(entries), np.intp), np.array(list(entries.values())), np.zeros(len(entries))
        )
        for name, entries in groups.items()
    }
    return World(tuple(hosts), figures(np.abs(at[:, None] - at[None]) * step_ms + 1.0), users)


def web(**said: object) -> Wanted:
    """Return an app of half a core for the group ``default/all``."""
    asked = Wanted("default/web", {"cpu": 500.0}, users="default/all")
    return replace(asked, **said)  # type: ignore[arg-type]


def within(ms: float, satisfy: float = 0.95) -> Bounds:
    return Bounds(latency_ms=ms, satisfy=satisfy)
