"""One figure over time, from a running controller."""

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from controller.topology import frames
from controller.topology.frames import LinkFrame
from overlayd.protocol.scales import COARSE_DELAY_MS, COARSE_RATIO
from tests.controller.api.test_api import client
from tests.controller.running import controller


def test_a_link_and_the_whole_mesh_are_told_over_time(tmp_path: Path) -> None:
    async def story() -> None:
        async with controller(tmp_path) as mesh, client(mesh) as api:
            ids = tuple([(await mesh.join(name)).id for name in ("a", "b", "c")])
            begin = time.time() - 3600
            for number in range(100):
                codes = np.zeros((frames.FIGURES, 3, 3), np.uint8)
                codes[frames.RTT_Q50, 0, 1] = COARSE_DELAY_MS.code(10.0 + number)
                codes[frames.RTT_Q50, 1, 0] = COARSE_DELAY_MS.code(5.0)
                codes[frames.RTT_Q50, 0, 2] = COARSE_DELAY_MS.code(300.0)
                codes[frames.LOSS_OUT, 0, 1] = COARSE_RATIO.code(0.02)
                mesh.running.service.archive.record(begin + 15 * number, LinkFrame(ids, codes))
            one = (await api.get("/v1/links/history", params={"src": "a", "dst": "b", "hours": 1})).json()
            assert one["spanSeconds"] == 15 and len(one["times"]) == len(one["lines"]["value"])
            assert 90 <= len(one["times"]) <= 100 and one["times"] == sorted(one["times"])
            assert one["lines"]["value"][-1] == pytest.approx(109, rel=0.03)
            assert one["lines"]["value"][0] < 25
            every = (await api.get("/v1/links/history", params={"hours": 1})).json()["lines"]
            assert every["known"][-1] == 4  # both directions of two links
            assert every["median"][-1] == pytest.approx(109, rel=0.03)
            assert every["high"][-1] == pytest.approx(300, rel=0.03)
            loss = (await api.get("/v1/links/history", params={"hours": 1, "metric": "loss"})).json()["lines"]
            assert (loss["known"][-1], loss["high"][-1]) == (1, pytest.approx(0.02, rel=0.03))
            coarse = (await api.get("/v1/links/history", params={"hours": 24})).json()
            assert coarse["spanSeconds"] == 300 and 3 <= len(coarse["times"]) <= 6
            assert (await api.get("/v1/links/history", params={"src": "a"})).status_code == 422
            unknown = await api.get("/v1/links/history", params={"src": "b", "dst": "c", "hours": 1})
            assert set(unknown.json()["lines"]["value"]) == {None}

    asyncio.run(story())
