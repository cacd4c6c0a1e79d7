"""The mesh as a networkx graph, for drawings, analyses and exchange with other tools. Pure.

networkx is the model of small graphs and the oracle in tests; routes are computed on arrays
(`controller.planner`).
"""

from collections.abc import Sequence
from typing import Any

import networkx as nx

from controller.prediction.forecast import Forecast
from controller.topology.links import Vertex


def to_networkx(vertices: Sequence[Vertex], forecast: Forecast) -> "nx.DiGraph[int]":
    """Return the usable links as a directed graph.

    Nodes are ids with ``name``, ``relay``, ``price_per_gb``; edges have ``rtt_q50_ms``, ``rtt_q80_ms``,
    ``rtt_q90_ms`` and ``loss`` (0..1) of their direction.
    """
    graph: nx.DiGraph[int] = nx.DiGraph()
    for vertex in vertices:
        graph.add_node(vertex.id, name=vertex.name, relay=vertex.relay, price_per_gb=vertex.price_per_gb)
    for a, one in enumerate(vertices):
        for b, other in enumerate(vertices):
            if forecast.usable[a, b]:
                graph.add_edge(one.id, other.id, **_figures(forecast, a, b))
    return graph


def _figures(forecast: Forecast, a: int, b: int) -> dict[str, Any]:
    return {
        "rtt_q50_ms": float(forecast.rtt_q50_ms[a, b]),
        "rtt_q80_ms": float(forecast.rtt_q80_ms[a, b]),
        "rtt_q90_ms": float(forecast.rtt_q90_ms[a, b]),
        "loss": float(forecast.loss_q90[a, b]),
    }
