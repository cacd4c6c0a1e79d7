"""The first predictor: quantiles over the last minutes of fresh samples, and episodes on top. Pure.

*Base.* Quantiles of the telemetry bins inside the window (five minutes by default), widened by the
variation within the bins. A link without a fresh sample is not known at all, whatever it once measured.

*Episodes.* On a level jump nothing beats persistence: a sample far above the window's median opens an
episode, and from then on the forecast is at least the episode's level. It ends only after a minute of
health, twice as long with each relapse, so that a link that flaps is not trusted in its good moments. What
was measured until then is forgotten: it says nothing about the level that the link has found.

*Rolling.* What a node's bins say is worked out when the node reports: every link is looked at anew once in a
telemetry interval, a row at a time, and a forecast of all is a few operations on matrices.

*Both ends.* Each end measures the same round trip and counts the other's loss; the worse of the two counts,
so that a node cannot make its links look better than its neighbours find them.
"""

from dataclasses import dataclass

import numpy as np

from controller.prediction.forecast import Forecast
from controller.topology.links import F32, I64, NEVER, Bool, Observation, Topology

QUANTILES = (0.5, 0.8, 0.9)
WITHIN_BIN = (0.0, 0.8, 1.25)
"""How many times the bins' own jitter is added to each quantile of their means (a normal spread)."""

JUMP_MS = 5.0
JUMP_SHARE = 0.25
JUMP_SPREADS = 2.0
"""An RTT is a jump above the median by all of: so many ms, such a share, so many times (q90 − q50)."""
JUMP_LOSS = 0.02

LOSS_PRIOR_SAMPLES = 40.0
LOSS_PRIOR_RATIO = 0.001
"""A loss ratio counts as if that many packets of the link's long-run loss had been seen beside it: two lost
of fifteen probes are no evidence of 13 % loss.
"""
DOWN_LOSS = 0.5
"""The level of an episode that began with the link going down."""

HOLD_NS = 60_000_000_000
MAX_DOUBLINGS = 4
FORGIVE_NS = 600_000_000_000
"""An episode that opens this long after the last one ended is no relapse."""


@dataclass(slots=True)
class Episodes:
    """[reporter, peer]: when the link was last bad, how bad, and how often it has relapsed.

    ``normal`` is what the link was like before, and ``began_ns`` when it last left that: the window's own
    figures are soon those of the episode.
    """

    bad_at_ns: I64
    began_ns: I64
    rtt_ms: F32
    loss_out: F32
    loss_in: F32
    relapses: I64
    normal_rtt_ms: F32
    normal_loss_out: F32
    normal_loss_in: F32

    @classmethod
    def empty(cls, n: int) -> "Episodes":
        def nan() -> F32:
            return np.full((n, n), np.nan, np.float32)

        never = np.full((n, n), NEVER, np.int64)
        relapses = np.zeros((n, n), np.int64)
        return cls(never, never.copy(), nan(), nan(), nan(), relapses, nan(), nan(), nan())

    def held(self, now_ns: int, row: int) -> Bool:
        """Return where, of one reporter's, an episode still counts."""
        return self.left_ns(now_ns, row) > 0

    def left_ns(self, now_ns: int, rows: int | slice = slice(None)) -> I64:
        """Return how long an episode still counts; not positive where none does."""
        hold = HOLD_NS * 2 ** np.minimum(self.relapses[rows], MAX_DOUBLINGS)
        return self.bad_at_ns[rows] + hold - now_ns


@dataclass(slots=True)
class Levels:
    """[reporter, peer]: what the bins of the window said when the reporter last spoke, episodes aside."""

    rtt_q50_ms: F32
    rtt_q80_ms: F32
    rtt_q90_ms: F32
    loss_out: F32
    loss_in: F32

    @classmethod
    def empty(cls, n: int) -> "Levels":
        return cls(*(np.full((n, n), np.nan, np.float32) for _ in range(5)))


class Predictor:
    """Fed with every observation, asked for forecasts at any time; keeps episodes and levels itself."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self.episodes = Episodes.empty(len(topology))
        self.levels = Levels.empty(len(topology))

    def grow(self) -> None:
        """Nodes were added to the topology."""
        before, n = len(self.episodes.bad_at_ns), len(self._topology)
        old = self.episodes, self.levels
        self.episodes, self.levels = Episodes.empty(n), Levels.empty(n)
        for was, now in zip(old, (self.episodes, self.levels), strict=True):
            for name in type(was).__slots__:
                getattr(now, name)[:before, :before] = getattr(was, name)

    def shrink(self, index: int) -> None:
        """The node that had ``index`` was removed from the topology."""
        for kept in (self.episodes, self.levels):
            for name in type(kept).__slots__:
                setattr(kept, name, np.delete(np.delete(getattr(kept, name), index, 0), index, 1))

    def observe(self, seen: Observation, now_ns: int) -> bool:
        """Take note of what a frame showed; return whether an episode opened or became much worse, or a link
        came up or went down.
        """
        row = seen.reporter
        latest, episodes = self._topology.latest, self.episodes
        news = latest.at_ns[row] == now_ns
        normal = self._normal(row, now_ns)
        with np.errstate(invalid="ignore"):
            slow = news & (latest.rtt_ms[row] > normal.rtt_ms)
            out = _shrunk(latest.loss_out[row], latest.count[row], normal.loss_out)
            into = _shrunk(latest.loss_in[row], latest.count[row], normal.loss_in)
            lossy = news & ((out > normal.loss_out + JUMP_LOSS) | (into > normal.loss_in + JUMP_LOSS))
        dropped = np.zeros(len(self._topology), np.bool_)
        dropped[list(seen.went_down)] = True
        opened = self._note(row, slow | lossy | dropped, normal, now_ns)
        worse = self._worsened(row, slow, lossy, out, into)
        episodes.rtt_ms[row, slow] = latest.rtt_ms[row, slow]
        episodes.loss_out[row, lossy] = out[lossy]
        episodes.loss_in[row, lossy] = into[lossy]
        episodes.loss_out[row, dropped] = DOWN_LOSS
        episodes.loss_in[row, dropped] = DOWN_LOSS
        self._level(row, now_ns)
        return bool((opened | worse).any()) or bool(seen.went_down) or bool(seen.came_up)

    def forecast(self, now_ns: int) -> Forecast:
        """Return what to expect of every link from now on."""
        topology, latest, levels = self._topology, self._topology.latest, self.levels
        fresh = topology.fresh(now_ns)
        left = self.episodes.left_ns(now_ns)
        held = left > 0
        floor = np.where(held, self.episodes.rtt_ms, np.float32(np.nan))
        q50, q80, q90 = (
            _worse_end(np.fmax(level, floor), fresh)
            for level in (levels.rtt_q50_ms, levels.rtt_q80_ms, levels.rtt_q90_ms)
        )
        loss_out, loss_in = (
            np.fmax(level, np.where(held, episode, np.float32(np.nan)))
            for level, episode in (
                (levels.loss_out, self.episodes.loss_out),
                (levels.loss_in, self.episodes.loss_in),
            )
        )
        known = fresh | fresh.T
        np.fill_diagonal(known, False)
        said_down = topology.said_down(now_ns)
        return Forecast(
            rtt_q50_ms=q50,
            rtt_q80_ms=q80,
            rtt_q90_ms=q90,
            loss_q90=np.nan_to_num(_worse_direction(loss_out, loss_in, fresh), nan=0.0),
            measured_rtt_ms=_worse_end(latest.rtt_ms, fresh),
            measured_loss=_worse_direction(latest.loss_out, latest.loss_in, fresh),
            known=known,
            confirmed=fresh & fresh.T,
            down=said_down | said_down.T,
            alive=topology.reporting(now_ns),
            held_ns=np.maximum(left, left.T),
        )

    def _note(self, row: int, bad: Bool, normal: "_Normal", now_ns: int) -> Bool:
        """Mark what is bad now; return where an episode opened or a link relapsed."""
        episodes, topology = self.episodes, self._topology
        held = episodes.held(now_ns, row)
        quiet_ns = now_ns - episodes.bad_at_ns[row]
        opened = bad & ~held
        # Bad again after more than a frame of health, or soon after its hold ended.
        relapsed = bad & (quiet_ns > topology.bin_ns * 3 // 2) & (quiet_ns < HOLD_NS + FORGIVE_NS)
        relapses = episodes.relapses[row]
        episodes.relapses[row] = np.where(relapsed, relapses + 1, np.where(opened, 0, relapses))
        for name in ("rtt_ms", "loss_out", "loss_in"):
            getattr(episodes, name)[row, opened] = np.nan
            getattr(episodes, f"normal_{name}")[row, opened] = getattr(normal, name)[opened]
        episodes.began_ns[row, opened | relapsed] = now_ns
        episodes.bad_at_ns[row, bad] = now_ns
        return opened | relapsed

    def _worsened(self, row: int, slow: Bool, lossy: Bool, out: F32, into: F32) -> Bool:
        """Return where what is bad now is a jump above the level of the episode so far, or has none yet."""
        episodes, rtt = self.episodes, self._topology.latest.rtt_ms[row]
        level = episodes.rtt_ms[row]
        with np.errstate(invalid="ignore"):
            slower = slow & ~(rtt <= level + np.maximum(JUMP_MS, JUMP_SHARE * level))
            as_before = (out <= episodes.loss_out[row] + JUMP_LOSS) & (
                into <= episodes.loss_in[row] + JUMP_LOSS
            )
        return slower | (lossy & ~as_before)

    def _normal(self, row: int, now_ns: int) -> "_Normal":
        """Return what is normal for the row's links; NaN where that is not known.

        That is what the window was like before the bin that is open now; but where an episode counts that
        began inside the window, what was normal before it.
        """
        topology, history, episodes = self._topology, self._topology.history, self.episodes
        bins, now_bin = history.bin_of[row], now_ns // topology.bin_ns
        past = (bins > now_bin - topology.bins) & (bins < now_bin)
        rtt = np.sort(np.where(past, history.rtt_ms[row], np.nan), axis=1)
        number = (~np.isnan(rtt)).sum(axis=1)
        count = np.where(past, history.count[row], 0.0)
        q50, q90 = _at_quantile(rtt, number, 0.5), _at_quantile(rtt, number, 0.9)
        reach = np.maximum(np.maximum(JUMP_MS, JUMP_SHARE * q50), JUMP_SPREADS * (q90 - q50))
        young = now_ns - episodes.began_ns[row] < topology.bins * topology.bin_ns
        frozen = episodes.held(now_ns, row) & young
        return _Normal(
            np.where(frozen, episodes.normal_rtt_ms[row], q50 + reach),
            np.where(frozen, episodes.normal_loss_out[row], _pooled(history.loss_out[row], count)),
            np.where(frozen, episodes.normal_loss_in[row], _pooled(history.loss_in[row], count)),
        )

    def _level(self, row: int, now_ns: int) -> None:
        """Work out what the bins of the row's links say."""
        topology, latest, history, levels = (
            self._topology,
            self._topology.latest,
            self._topology.history,
            self.levels,
        )
        held = self.episodes.held(now_ns, row)
        begin = np.where(held, NEVER, self.episodes.bad_at_ns[row]) // topology.bin_ns
        bins = history.bin_of[row]
        valid = (bins > now_ns // topology.bin_ns - topology.bins) & (bins > begin[:, None])
        rtt = np.where(valid, history.rtt_ms[row], np.float32(np.nan))
        jitter = _mean(np.where(valid, history.jitter_ms[row], np.float32(np.nan)))
        count = np.where(valid, history.count[row], np.float32(0.0))
        ordered, number = np.sort(rtt, axis=1), (~np.isnan(rtt)).sum(axis=1)
        # Variation within the bins keeps a link with a single one from looking constant.
        for level, q, share in zip(
            (levels.rtt_q50_ms, levels.rtt_q80_ms, levels.rtt_q90_ms), QUANTILES, WITHIN_BIN, strict=True
        ):
            found = _at_quantile(ordered, number, q) + np.float32(share) * jitter
            level[row] = np.where(number > 0, found, latest.rtt_ms[row])
        levels.loss_out[row] = _loss(history.loss_out[row], count)
        levels.loss_in[row] = _loss(history.loss_in[row], count)


@dataclass(frozen=True, slots=True)
class _Normal:
    """The highest RTT that is no jump, and the long-run losses."""

    rtt_ms: F32
    loss_out: F32
    loss_in: F32


def _at_quantile(ordered: F32, number: I64, q: float) -> F32:
    """Return the ⌈q·m⌉-th smallest of the m values along the last axis (NaNs sorted last); NaN for none."""
    last = ordered.shape[-1] - 1
    index = np.clip(np.ceil(q * number).astype(np.int64) - 1, 0, last)
    return np.take_along_axis(ordered, index[..., None], axis=-1)[..., 0]


def _loss(ratio: F32, count: F32) -> F32:
    """Return the q90 over bins of the shrunk loss."""
    bins = _shrunk(ratio, count, _pooled(ratio, count)[:, None])
    bins = np.where((count > 0) & ~np.isnan(ratio), bins, np.float32(np.nan))
    number = (~np.isnan(bins)).sum(axis=1)
    return _at_quantile(np.sort(bins, axis=1), number, 0.9)


def _pooled(ratio: F32, count: F32) -> F32:
    """Return the long-run loss over all bins, at least a small prior."""
    known = ~np.isnan(ratio)
    lost = np.sum(ratio * count, axis=-1, where=known)
    total = np.sum(count, axis=-1, where=known)
    pooled = (lost + LOSS_PRIOR_RATIO * LOSS_PRIOR_SAMPLES) / (total + LOSS_PRIOR_SAMPLES)
    return pooled.astype(np.float32)


def _shrunk(ratio: F32, count: F32, prior: F32) -> F32:
    shrunk = (ratio * count + prior * LOSS_PRIOR_SAMPLES) / (count + LOSS_PRIOR_SAMPLES)
    return shrunk.astype(np.float32)


def _mean(values: F32) -> F32:
    known = ~np.isnan(values)
    number = known.sum(axis=-1)
    return (np.sum(values, axis=-1, where=known) / np.maximum(number, 1)).astype(np.float32)


def _worse_end(values: F32, fresh: Bool) -> F32:
    """Return the larger of what both ends measured of the same round trip; NaN where neither is fresh."""
    own = np.where(fresh, values, np.nan)
    return np.fmax(own, own.T)


def _worse_direction(sent: F32, received: F32, fresh: Bool) -> F32:
    """Return the larger of what the sender and the receiver counted of the same direction."""
    return np.fmax(np.where(fresh, sent, np.nan), np.where(fresh, received, np.nan).T)
