"""A drawing of the mesh as SVG: sites at their places, links with RTT and loss, the chosen paths.

Pure; called by `__main__`. Readable on light and on dark ground (``prefers-color-scheme``); the paths differ
in dash and place as well as in colour.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import hypot
from typing import NamedTuple

from sim.demo.measure import Way
from sim.demo.table import route


@dataclass(frozen=True, slots=True)
class DrawnLink:
    """A link as probes met it on the underlay, at the beginning and, if it changed, later on. RTT in ms, loss
    0..1.
    """

    way: Way
    rtt_ms: float | None
    loss_ratio: float | None
    later_rtt_ms: float | None = None
    later_loss_ratio: float | None = None

    @property
    def changed(self) -> bool:
        return self.later_loss_ratio is not None


@dataclass(frozen=True, slots=True)
class DrawnPath:
    """The path traffic took at one time of the story: ``before``, ``during`` or ``after``."""

    when: str
    nodes: tuple[str, ...]


class Point(NamedTuple):
    x: float
    y: float


WIDTH, HEIGHT = 900, 700
# About where the sites lie, moved apart so that no link passes through a third site.
_PLACES = {
    "paris": Point(225, 300),
    "frankfurt": Point(440, 362),
    "madrid": Point(90, 585),
    "warsaw": Point(790, 270),
    "stockholm": Point(620, 70),
}
_ASIDE = 7.0  # between paths that share a link, in pixels
_SITE = 9.0  # radius of a site
_CLEAR = 16.0  # paths end so far from the middle of a site

_STYLE = """
  svg { background: #ffffff; color: #1b1f24; font: 15px system-ui, sans-serif; }
  text { fill: currentColor; }
  .link { stroke: #b4bcc6; stroke-width: 1.5; }
  .bad { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 2 4; }
  .label { font-size: 12px; fill: #57606a; paint-order: stroke; stroke: #ffffff; stroke-width: 4px; }
  .worse { fill: #cf222e; }
  .site { fill: #ffffff; stroke: currentColor; stroke-width: 2; }
  .name { font-weight: 600; text-anchor: middle; paint-order: stroke; stroke: #ffffff; stroke-width: 4px; }
  .path { fill: none; stroke-width: 4; stroke-linejoin: round; stroke-linecap: round; }
  .before { stroke: #0969da; }
  .during { stroke: #bc4c00; stroke-dasharray: 14 7; }
  .after { stroke: #1a7f37; stroke-dasharray: 2 8; }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117; color: #e6edf3; }
    .link { stroke: #484f58; }
    .bad { stroke: #ff7b72; }
    .label { fill: #9da7b3; stroke: #0d1117; }
    .worse { fill: #ff7b72; }
    .site { fill: #0d1117; }
    .name { stroke: #0d1117; }
    .before { stroke: #58a6ff; }
    .during { stroke: #f0883e; }
    .after { stroke: #56d364; }
  }
"""


def draw(links: Sequence[DrawnLink], paths: Sequence[DrawnPath]) -> str:
    """The whole drawing. Sites without a known place are put in a row at the top."""
    names = list(dict.fromkeys(node for link in links for node in link.way))
    places = {name: _PLACES.get(name, Point(120.0 * index + 60, 40)) for index, name in enumerate(names)}
    shown = [path for path in paths if len(path.nodes) > 1]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>The mesh, and the paths its traffic took</title>",
        f"<style>{_STYLE}</style>",
        *(_line(link, places) for link in links),
        *(leg for slot, path in enumerate(shown) for leg in _legs(path, slot, len(shown), places)),
        *(_label(link, places) for link in links),
        *(_site(name, places[name]) for name in names),
        *_legend(shown),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _line(link: DrawnLink, places: Mapping[str, Point]) -> str:
    a, b = places[link.way.start], places[link.way.end]
    return _stroke("bad" if link.changed else "link", a, b)


def _label(link: DrawnLink, places: Mapping[str, Point]) -> str:
    """Beside the middle, where links cross."""
    at = _between(places[link.way.start], places[link.way.end], 0.42)
    text = escape(_figures(link.rtt_ms, link.loss_ratio))
    if link.changed:
        later = escape("→ " + _figures(link.later_rtt_ms, link.later_loss_ratio))
        text += f'<tspan class="worse" x="{at.x:.1f}" dy="15">{later}</tspan>'
    return f'<text class="label" text-anchor="middle" x="{at.x:.1f}" y="{at.y + 4:.1f}">{text}</text>'


def _figures(rtt_ms: float | None, loss_ratio: float | None) -> str:
    rtt = "no answer" if rtt_ms is None else f"{rtt_ms:.0f} ms"
    return f"{rtt}, {loss_ratio:.0%} lost" if loss_ratio else rtt


def _legs(path: DrawnPath, slot: int, slots: int, places: Mapping[str, Point]) -> Iterator[str]:
    """A line beside each link, on a side of its own, so that paths that share one are told apart."""
    aside = (slot - (slots - 1) / 2) * _ASIDE
    for start, end in pairwise(path.nodes):
        a, b = places[start], places[end]
        length = max(hypot(b.x - a.x, b.y - a.y), 1.0)
        trim = min(_CLEAR / length, 0.4)
        # To the same side, whichever way the leg is gone.
        sign = 1.0 if (a.x, a.y) < (b.x, b.y) else -1.0
        across = Point(-(b.y - a.y) / length * aside * sign, (b.x - a.x) / length * aside * sign)
        ends = (_between(a, b, trim), _between(a, b, 1 - trim))
        yield _stroke(f"path {escape(path.when)}", *(Point(p.x + across.x, p.y + across.y) for p in ends))


def _site(name: str, at: Point) -> str:
    """Its name goes outwards: below those in the lower half, above the others."""
    y = at.y + 28 if at.y > HEIGHT / 2 else at.y - 17
    circle = f'<circle class="site" cx="{at.x:.1f}" cy="{at.y:.1f}" r="{_SITE:g}"/>'
    return f'{circle}<text class="name" x="{at.x:.1f}" y="{y:.1f}">{escape(name)}</text>'


def _legend(paths: Sequence[DrawnPath]) -> Iterator[str]:
    for row, path in enumerate(paths):
        y = HEIGHT - 120 + 26 * row
        yield _stroke(f"path {escape(path.when)}", Point(430, y), Point(490, y))
        yield f'<text x="504" y="{y + 5}">{escape(path.when)}: {escape(route(path.nodes))}</text>'
    note = "Round trips, and loss there and back, as probes met them on each link"
    yield f'<text class="label" x="430" y="{HEIGHT - 30}">{note}</text>'


def _stroke(kind: str, a: Point, b: Point) -> str:
    return f'<line class="{kind}" x1="{a.x:.1f}" y1="{a.y:.1f}" x2="{b.x:.1f}" y2="{b.y:.1f}"/>'


def _between(a: Point, b: Point, share: float) -> Point:
    return Point(a.x + share * (b.x - a.x), a.y + share * (b.y - a.y))
