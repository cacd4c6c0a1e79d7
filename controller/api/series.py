"""``/v1/links/history``: one figure of a link, or of all of them, over time. Reads the service.

Called by `controller.api.app`.
"""

import asyncio
import math
from collections.abc import Iterator
from typing import Annotated, Final

import numpy as np
from fastapi import APIRouter, HTTPException, Query

from controller.api.asking import MISSING, MomentText, OptionalName, find_node, unix_seconds
from controller.api.models import LinkHistory
from controller.api.past import Metric, rounded, values_of
from controller.server.archive import Moment
from controller.server.service import Service, now
from controller.topology.frames import LOSS_IN, LOSS_OUT, RESIDUAL_IN, RTT_Q50, SCALES, LinkFrame
from controller.topology.quantise import Codes
from overlayd.model.ids import NodeId
from overlayd.protocol.scales import UNKNOWN

MOST_TIMES: Final = 400
MOST_CODES: Final = 500_000_000
"""Codes that are unpacked for one answer, at most: about a second of one core."""
HIGH: Final = 0.95
_CODES_OF_A_LINK: Final = len(SCALES)


def add_series(router: APIRouter, service: Service) -> None:
    """Add the endpoint to ``router``."""

    @router.get("/links/history", responses=MISSING)
    async def link_history(
        metric: Metric = "rtt",
        src: OptionalName = None,
        dst: OptionalName = None,
        until: MomentText = None,
        hours: Annotated[float, Query(gt=0, le=90 * 24)] = 24.0,
    ) -> LinkHistory:
        """One figure over time, of one link or of all together, as finely as can be told quickly."""
        if (src is None) != (dst is None):
            raise HTTPException(422, "a link has two ends; give both, or none for all links")
        ends = None if src is None or dst is None else (find_node(service, src), find_node(service, dst))
        last = now().unix_s if until is None else unix_seconds(until)
        links = max(len(service.core.topology), 1) ** 2
        most = max(24, min(MOST_TIMES, MOST_CODES // (links * _CODES_OF_A_LINK)))

        def read() -> LinkHistory:
            moments = service.archive.between(last - hours * 3600, last, most)
            if ends is None:
                return _of_all(moments, metric)
            history = _of_one(moments, metric, *ends)
            return history.model_copy(update={"source": src, "destination": dst})

        return await asyncio.to_thread(read)


def _of_one(moments: Iterator[Moment], metric: Metric, source: NodeId, destination: NodeId) -> LinkHistory:
    times: list[float] = []
    values: list[float | None] = []
    span_s = 0.0
    for moment in moments:
        ids = moment.frame.ids
        known = source in ids and destination in ids
        pair = moment.frame.of((source, destination)) if known else None
        figure = math.nan if pair is None else float(rounded(values_of(pair, metric)[:1, 1:])[0, 0])
        times.append(round(moment.at, 3))
        values.append(None if math.isnan(figure) else figure)
        span_s = moment.span_s
    return _history(metric, span_s, times, {"value": values})


def _of_all(moments: Iterator[Moment], metric: Metric) -> LinkHistory:
    times: list[float] = []
    lines: dict[str, list[float | None]] = {"median": [], "high": [], "known": []}
    span_s = 0.0
    for moment in moments:
        counts = np.bincount(_codes(moment.frame, metric).ravel(), minlength=256)
        counts[UNKNOWN] = 0
        times.append(round(moment.at, 3))
        lines["median"].append(_quantile(counts, 0.5, metric))
        lines["high"].append(_quantile(counts, HIGH, metric))
        lines["known"].append(int(counts.sum()))
        span_s = moment.span_s
    return _history(metric, span_s, times, lines)


def _codes(frame: LinkFrame, metric: Metric) -> Codes:
    """Return what `values_of` would, as codes: the scales are monotone."""
    codes = frame.codes
    match metric:
        case "rtt":
            return np.maximum(codes[RTT_Q50], codes[RTT_Q50].T)
        case "loss":
            return np.maximum(codes[LOSS_OUT], codes[LOSS_IN].T)
        case "residual":
            return codes[RESIDUAL_IN]


def _quantile(counts: np.ndarray, q: float, metric: Metric) -> float | None:
    number = int(counts.sum())
    if not number:
        return None
    code = int(np.searchsorted(np.cumsum(counts), math.ceil(q * number)))
    value = SCALES[RTT_Q50 if metric == "rtt" else LOSS_OUT].value(code)
    return None if value is None else float(f"{value:.3g}")


def _history(
    metric: Metric, span_s: float, times: list[float], lines: dict[str, list[float | None]]
) -> LinkHistory:
    return LinkHistory.model_validate(
        {
            "metric": metric,
            "source": None,
            "destination": None,
            "spanSeconds": span_s,
            "times": times,
            "lines": lines,
        }
    )
