"""`python -m controller.evaluate --trace FILE.npz`: see `docs/evaluation.md`."""

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import Any, cast

from controller.evaluate.replay import Report, evaluate
from controller.evaluate.trace import BadTrace, Trace
from overlayd.model.service import Objective

POLICIES = tuple([objective.value for objective in Objective if objective is not Objective.WEIGHTED])
"""Weights are an operator's own: none are known here."""


def main(arguments: list[str] | None = None) -> int:
    """Evaluate and print; 2 for a file that is no trace."""
    parser = argparse.ArgumentParser(
        prog="python -m controller.evaluate",
        description="What a mesh would have gained on a recorded trace, by the shipped controller.",
    )
    parser.add_argument(
        "--trace", type=Path, required=True, help=".npz with rtt_ms, frame_seconds, optional loss"
    )
    parser.add_argument("--frames", default=":", help="frames to decide in, A:B (default: all)")
    parser.add_argument(
        "--train", default=None, help="frames to learn from before, A:B (default: all before)"
    )
    parser.add_argument("--horizon", default="300:600", help="seconds ahead that pay, A:B")
    parser.add_argument("--policy", default="latency", choices=POLICIES)
    parser.add_argument("--relay-cost-ms", type=float, default=2.0)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    own = parser.parse_args(arguments)
    try:
        trace = Trace.load(own.trace)
        frames = _range(own.frames, trace.frames)
        train = _range(own.train, trace.frames) if own.train else range(0, frames.start)
        train = range(train.start, min(train.stop, frames.start))
        low, high = (float(part) for part in own.horizon.split(":"))
    except (BadTrace, OSError, ValueError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # NaN and overflow are values here
        report = evaluate(trace, frames, train, (low, high), Objective(own.policy), own.relay_cost_ms)
    print(json.dumps(report, indent=2) if own.json else _table(report))
    return 0


def _range(text: str, end: int) -> range:
    """Return ``A:B`` as frames; either side may be left out, negative ones count from the end."""
    begin, separator, stop = text.partition(":")
    if not separator:
        raise ValueError(f"frames are given as A:B, not {text!r}")
    return range(*slice(int(begin) if begin else None, int(stop) if stop else None).indices(end))


def _table(report: Report) -> str:
    """Return the report for people."""
    lines: list[str] = []
    for name, value in report.items():
        if name == "baselines":
            lines.append("baselines")
            for baseline, figures in value.items():
                lines.append(f"  {baseline}")
                lines += [f"    {key:<34} {_text(figure)}" for key, figure in figures.items()]
        else:
            lines.append(f"{name:<38} {_text(value)}")
    return "\n".join(lines)


def _text(value: Any) -> str:
    match value:
        case float():
            return f"{value:.3f}"
        case list():
            return " ".join(map(_text, cast(list[Any], value)))
        case dict():
            return "  ".join(f"{key} {_text(item)}" for key, item in cast(dict[str, Any], value).items())
        case None:
            return "-"
        case _:
            return str(value)


if __name__ == "__main__":
    raise SystemExit(main())
