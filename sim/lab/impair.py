"""Impairments of a link: the words of ``vars.impair`` and of ``lab impair``, as settings for each direction.

Both directions of a link take the same words; a key ``a->b`` with words of its own changes that direction
only. A delay is that of one direction: 20 ms on a link make a round trip of 40 ms. Pure; called by
`topology` and `cli`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from sim.lab.errors import unknown
from sim.lab.units import (
    parse_count,
    parse_flag,
    parse_rate_bps,
    parse_ratio,
    parse_size_bytes,
    parse_time_ns,
)


@dataclass(frozen=True, slots=True)
class Bursts:
    """Gilbert–Elliott loss in continuous time: mean stays in ns, loss ratios in each state."""

    mean_good_ns: int
    mean_bad_ns: int
    loss_good: float = 0.0
    loss_bad: float = 1.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What one direction does to packets. ``None``: no limit. Units and bounds are those of
    ``overlayd_netem::Settings``.
    """

    delay_ns: int = 0
    jitter_ns: int = 0
    reorder: bool = False
    loss_ratio: float = 0.0
    bursts: Bursts | None = None
    rate_bps: int | None = None
    queue_bytes: int = 256 * 1024
    mtu: int | None = None
    duplicate_ratio: float = 0.0
    corrupt_ratio: float = 0.0
    blackhole: bool = False

    def as_document(self) -> dict[str, Any]:
        """The settings as the native emulator reads them."""
        return {
            "delay_ns": self.delay_ns,
            "jitter_ns": self.jitter_ns,
            "reorder": self.reorder,
            "loss": self._loss(),
            "rate_bps": self.rate_bps,
            "queue_bytes": self.queue_bytes,
            "mtu": self.mtu,
            "duplicate_ratio": self.duplicate_ratio,
            "corrupt_ratio": self.corrupt_ratio,
            "blackhole": self.blackhole,
        }

    def _loss(self) -> dict[str, Any]:
        if self.bursts:
            b = self.bursts
            return {
                "kind": "gilbert_elliott",
                "mean_good_ns": b.mean_good_ns,
                "mean_bad_ns": b.mean_bad_ns,
                "loss_good": b.loss_good,
                "loss_bad": b.loss_bad,
            }
        return {"kind": "independent", "ratio": self.loss_ratio} if self.loss_ratio else {"kind": "none"}


@dataclass(frozen=True, slots=True)
class Pair:
    """Settings of both directions of a link between nodes ``a`` and ``b``."""

    a: str
    b: str
    there: Settings = field(default_factory=Settings)
    back: Settings = field(default_factory=Settings)

    def change(self, words: Mapping[str, object]) -> "Pair":
        """This pair with some words changed, all others as they were.

        Raises ValueError that names the word at fault.
        """
        ways = {f"{self.a}->{self.b}": "there", f"{self.b}->{self.a}": "back"}
        common = {key: value for key, value in words.items() if key not in ways and key != "blackhole"}
        pair = replace(self, there=_change(self.there, common, ways), back=_change(self.back, common, ways))
        if "blackhole" in words:
            pair = pair._blackhole(words["blackhole"], ways)
        for way, attribute in ways.items():
            if way in words:
                own = words[way]
                if not isinstance(own, Mapping):
                    raise ValueError(f"{way}: has to be a mapping of impairments")
                changed = _change(getattr(pair, attribute), cast("Mapping[str, object]", own), {}, f"{way}: ")
                pair = replace(pair, **{attribute: changed})
        return pair

    def _blackhole(self, value: object, ways: Mapping[str, str]) -> "Pair":
        """``blackhole`` is true, false or the one way it acts on."""
        if value in ways:
            return replace(
                self,
                there=replace(self.there, blackhole=ways[str(value)] == "there"),
                back=replace(self.back, blackhole=ways[str(value)] == "back"),
            )
        try:
            both = parse_flag(value)
        except ValueError:
            raise ValueError(f"blackhole: {value!r} is none of true, false, {', '.join(ways)}") from None
        return replace(
            self, there=replace(self.there, blackhole=both), back=replace(self.back, blackhole=both)
        )


def parse_words(arguments: Sequence[str]) -> dict[str, object]:
    """``["delay=50ms", "a->b.loss=8%"]`` as a mapping of words. Raises ValueError for an argument without
    ``=``.
    """
    words: dict[str, object] = {}
    for argument in arguments:
        key, separator, value = argument.partition("=")
        if not separator or not key:
            raise ValueError(f"{argument!r} is not of the form KEY=VALUE, such as delay=50ms")
        way, dot, inner = key.partition(".")
        if dot and "->" in way:
            own = cast("dict[str, object]", words.setdefault(way, {}))
            _put(own, inner, value)
        else:
            _put(words, key, value)
    return words


def _put(words: dict[str, object], key: str, value: str) -> None:
    """``ge.good=1s`` goes into the mapping ``ge``; ``rate=none`` lifts a limit."""
    outer, dot, inner = key.partition(".")
    if not dot:
        words[key] = value
        return
    group = words.setdefault(outer, {})
    if not isinstance(group, dict):
        raise ValueError(f"{outer}: is given both as a whole and by its part {inner}")
    cast("dict[str, object]", group)[inner] = value


def _change(
    settings: Settings, words: Mapping[str, object], ways: Mapping[str, str], place: str = ""
) -> Settings:
    changes: dict[str, Any] = {}
    for key, value in words.items():
        if key not in _WORDS:
            raise ValueError(place + unknown(key, [*_WORDS, *ways]))
        attribute, parse = _WORDS[key]
        try:
            changes[attribute] = parse(value)
        except ValueError as error:
            raise ValueError(f"{place}{key}: {error}") from None
    if changes.get("bursts") and changes.get("loss_ratio"):
        raise ValueError(f"{place}loss and ge exclude each other")
    if "bursts" in changes:
        changes.setdefault("loss_ratio", 0.0)
    elif "loss_ratio" in changes:
        changes["bursts"] = None
    changed = replace(settings, **changes)
    if changed.queue_bytes <= 0:
        raise ValueError(f"{place}queue: has to be above zero")
    if changed.jitter_ns > changed.delay_ns:
        raise ValueError(
            f"{place}jitter of {changed.jitter_ns} ns is above the delay of {changed.delay_ns} ns"
        )
    return changed


def _bursts(value: object) -> Bursts | None:
    if value is None or value == "none":
        return None
    if not isinstance(value, Mapping):
        raise ValueError("has to be a mapping such as {good: 960ms, bad: 40ms}")
    words = cast("Mapping[str, object]", value)
    for key in words:
        if key not in _BURST_WORDS:
            raise ValueError(unknown(str(key), _BURST_WORDS))
    for key in ("good", "bad"):
        if key not in words:
            raise ValueError(f"{key}, the mean stay in the {key} state, is missing")
    parsed: dict[str, Any] = {
        _BURST_WORDS[key][0]: _BURST_WORDS[key][1](value) for key, value in words.items()
    }
    if not (parsed["mean_good_ns"] and parsed["mean_bad_ns"]):
        raise ValueError("the mean stays good and bad have to be above zero")
    return Bursts(**parsed)


def _limit(parse: Callable[[object], int]) -> Callable[[object], int | None]:
    """A limit above zero, or none."""

    def parsed(value: object) -> int | None:
        if value is None or value == "none":
            return None
        number = parse(value)
        if number <= 0:
            raise ValueError(f"{value!r} has to be above zero")
        return number

    return parsed


_BURST_WORDS: dict[str, tuple[str, Callable[[object], float]]] = {
    "good": ("mean_good_ns", parse_time_ns),
    "bad": ("mean_bad_ns", parse_time_ns),
    "loss-good": ("loss_good", parse_ratio),
    "loss-bad": ("loss_bad", parse_ratio),
}
_WORDS: dict[str, tuple[str, Callable[[object], Any]]] = {
    "delay": ("delay_ns", parse_time_ns),
    "jitter": ("jitter_ns", parse_time_ns),
    "reorder": ("reorder", parse_flag),
    "loss": ("loss_ratio", parse_ratio),
    "ge": ("bursts", _bursts),
    "rate": ("rate_bps", _limit(parse_rate_bps)),
    "queue": ("queue_bytes", parse_size_bytes),
    "mtu": ("mtu", _limit(parse_count)),
    "duplicate": ("duplicate_ratio", parse_ratio),
    "corrupt": ("corrupt_ratio", parse_ratio),
    "blackhole": ("blackhole", parse_flag),
}
