"""A drawing of the mesh as SVG: sites at their places, links with RTT and loss, the chosen paths.

Pure; called by `__main__`. Readable on light and on dark ground (``prefers-color-scheme``); the paths differ
in dash and place as well as in colour.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
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
# Where the sites lie: longitude and latitude, degrees.
_PLACES = {
    "paris": (2.4, 48.9),
    "frankfurt": (8.7, 50.1),
    "madrid": (-3.7, 40.4),
    "warsaw": (21.0, 52.2),
    "stockholm": (18.1, 59.3),
}
_WEST, _NORTH = -7.5, 61.0
_PER_DEGREE = Point(27.0, 29.0)  # a degree of longitude is the shorter one so far north
_GAP = 7.0  # between paths that share a link, in pixels

_STYLE = """
  svg { background: #ffffff; color: #1b1f24; font: 15px system-ui, sans-serif; }
  text { fill: currentColor; }
  .link { stroke: #b4bcc6; stroke-width: 1.5; }
  .bad { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 2 4; }
  .label { font-size: 12px; fill: #57606a; paint-order: stroke; stroke: #ffffff; stroke-width: 4px; }
  .worse { fill: #cf222e; }
  .site { fill: #ffffff; stroke: currentColor; stroke-width: 2; }
  .name { font-weight: 600; paint-order: stroke; stroke: #ffffff; stroke-width: 4px; }
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
    """The whole drawing. Sites without a known place are put on a circle of their own."""
    names = list(dict.fromkeys(node for link in links for node in link.way))
    places = {name: _place(name, index) for index, name in enumerate(names)}
    shown = [path for path in paths if len(path.nodes) > 1]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>The mesh, and the paths its traffic took</title>",
        f"<style>{_STYLE}</style>",
        *(_line(link, places) for link in links),
        *(_path(path, slot, len(shown), places) for slot, path in enumerate(shown)),
        *(_label(link, places) for link in links),
        *(_site(name, places[name]) for name in names),
        *_legend(shown),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _place(name: str, index: int) -> Point:
    longitude, latitude = _PLACES.get(name, (-5.0 + 4.0 * index, 43.0))
    return Point((longitude - _WEST) * _PER_DEGREE.x, (_NORTH - latitude) * _PER_DEGREE.y)


def _line(link: DrawnLink, places: dict[str, Point]) -> str:
    a, b = places[link.way.start], places[link.way.end]
    kind = "bad" if link.changed else "link"
    return f'<line class="{kind}" x1="{a.x:.1f}" y1="{a.y:.1f}" x2="{b.x:.1f}" y2="{b.y:.1f}"/>'


def _label(link: DrawnLink, places: dict[str, Point]) -> str:
    a, b = places[link.way.start], places[link.way.end]
    # Not in the middle, where links cross.
    x, y = a.x + 0.42 * (b.x - a.x), a.y + 0.42 * (b.y - a.y)
    lines = [f'<text class="label" text-anchor="middle" x="{x:.1f}" y="{y + 4:.1f}">']
    lines.append(_figures(link.rtt_ms, link.loss_ratio))
    if link.changed:
        later = escape("→ " + _figures(link.later_rtt_ms, link.later_loss_ratio))
        lines.append(f'<tspan class="worse" x="{x:.1f}" dy="15">{later}</tspan>')
    return "".join(lines) + "</text>"


def _figures(rtt_ms: float | None, loss_ratio: float | None) -> str:
    rtt = "no answer" if rtt_ms is None else f"{rtt_ms:.0f} ms"
    return f"{rtt}, {loss_ratio:.0%} lost" if loss_ratio else rtt


def _path(path: DrawnPath, slot: int, slots: int, places: dict[str, Point]) -> str:
    """A line beside the links, so that paths that share one are told apart."""
    aside = (slot - (slots - 1) / 2) * _GAP
    points: list[str] = []
    for start, end in zip(path.nodes, path.nodes[1:], strict=False):
        a, b = places[start], places[end]
        length = hypot(b.x - a.x, b.y - a.y) or 1.0
        across = Point(-(b.y - a.y) / length * aside, (b.x - a.x) / length * aside)
        points += [f"{point.x + across.x:.1f},{point.y + across.y:.1f}" for point in (a, b)]
    return f'<polyline class="path {escape(path.when)}" points="{" ".join(points)}"/>'


def _site(name: str, at: Point) -> str:
    words = f'<text class="name" x="{at.x + 14:.1f}" y="{at.y - 12:.1f}">{escape(name)}</text>'
    return f'<circle class="site" cx="{at.x:.1f}" cy="{at.y:.1f}" r="8"/>{words}'


def _legend(paths: Iterable[DrawnPath]) -> Iterable[str]:
    for row, path in enumerate(paths):
        y = HEIGHT - 90 + 26 * row
        yield f'<line class="path {escape(path.when)}" x1="420" y1="{y}" x2="480" y2="{y}"/>'
        yield f'<text x="494" y="{y + 5}">{escape(path.when)}: {escape(route(path.nodes))}</text>'
