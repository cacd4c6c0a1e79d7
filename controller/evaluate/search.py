"""The cheapest path of each pair from one matrix of costs: for baselines and the oracle. Pure."""

import numpy as np

from controller.planner.search import Relays, Search
from controller.policy.costs import GAINS, Costs
from controller.topology.links import F32
from overlayd.model.service import Objective


def cheapest(cost: F32, relay: float, second_relays: int = 0) -> tuple[F32, Relays]:
    """Return costs and relays of the cheapest paths; NaN is no link."""
    link = np.where(np.isnan(cost), np.float32(np.inf), cost).astype(np.float32)
    costs = Costs(link, link, link, link, relay, link, None, GAINS[Objective.LATENCY])
    found = Search(costs, np.arange(len(link)), second_relays).best()
    return found.cost, found.relays
