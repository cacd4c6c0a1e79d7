"""A recorded trace and what of it counts as a sample. Reads one file; otherwise pure.

A file that repeats its last values looks like a perfect link. A sample counts only while it is fresh:
present, positive, and not unchanged for more than :data:`STALE_FRAMES` frames while its neighbours change.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from controller.topology.links import F32, Bool

STALE_FRAMES = 20
NEIGHBOURS_SHARE = 0.25
"""Neighbouring links do change where this share of the links of either end did within that many frames."""

LEAST_MS, MOST_MS = 1.0, 3000.0
"""RTTs are clipped to this, as outliers of minutes would outweigh everything else."""


class BadTrace(ValueError):
    """The file is no trace: ``rtt_ms`` [frame, node, node] and ``frame_seconds`` are needed."""


@dataclass(frozen=True, slots=True)
class Trace:
    """[frame, from, to]: RTT in ms and loss 0..1, NaN where there is no fresh sample; ``loss`` may be
    missing altogether. ``fresh`` says where there is one.
    """

    rtt_ms: F32
    loss: F32 | None
    fresh: Bool
    frame_s: float

    @property
    def frames(self) -> int:
        return len(self.rtt_ms)

    @property
    def nodes(self) -> int:
        return self.rtt_ms.shape[1]

    @classmethod
    def of(cls, rtt_ms: F32, frame_s: float, loss: F32 | None = None) -> "Trace":
        """Make a trace of raw matrices. Raises :class:`BadTrace`."""
        rtt = np.array(rtt_ms, np.float32)
        if rtt.ndim != 3 or rtt.shape[1] != rtt.shape[2]:
            raise BadTrace(f"rtt_ms must be [frame, node, node], not {rtt.shape}")
        if not frame_s > 0.0:
            raise BadTrace(f"frame_seconds must be positive, not {frame_s}")
        if loss is not None and loss.shape != rtt.shape:
            raise BadTrace(f"loss must have the shape of rtt_ms {rtt.shape}, not {loss.shape}")
        fresh = fresh_samples(rtt)
        np.clip(rtt, LEAST_MS, MOST_MS, out=rtt)
        rtt[~fresh] = np.nan
        if loss is not None:
            loss = np.clip(np.asarray(loss, np.float32), 0.0, 1.0)
            loss[~fresh] = np.nan
        return cls(rtt, loss, fresh, frame_s)

    @classmethod
    def load(cls, path: Path) -> "Trace":
        """Read an ``.npz`` file. Raises :class:`BadTrace` and :class:`OSError`."""
        with np.load(path) as file:
            if "rtt_ms" not in file or "frame_seconds" not in file:
                raise BadTrace(f"{path}: rtt_ms and frame_seconds are needed, there is {sorted(file)}")
            loss = file["loss"] if "loss" in file else None
            return cls.of(file["rtt_ms"], float(file["frame_seconds"]), loss)


def fresh_samples(rtt_ms: F32) -> Bool:
    """Return [frame, from, to] where a raw value is a fresh sample, by what was before it alone."""
    frames, n = rtt_ms.shape[:2]
    fresh = np.zeros(rtt_ms.shape, np.bool_)
    unchanged = np.zeros((n, n), np.int32)
    off_diagonal = ~np.eye(n, dtype=np.bool_)
    for frame in range(frames):
        with np.errstate(invalid="ignore"):
            present = np.isfinite(rtt_ms[frame]) & (rtt_ms[frame] > 0.0) & off_diagonal
            moved = rtt_ms[frame] != rtt_ms[frame - 1] if frame else np.ones((n, n), np.bool_)
        unchanged = np.where(present & ~moved, unchanged + 1, 0)
        lively = present & (unchanged <= STALE_FRAMES)
        ends = lively.sum(axis=0) + lively.sum(axis=1)
        links = present.sum(axis=0) + present.sum(axis=1)
        busy = ends > NEIGHBOURS_SHARE * links
        fresh[frame] = present & (lively | ~(busy[:, None] | busy[None, :]))
    return fresh
