"""The result as a bar chart in SVG without a script: one panel a metric, one bar a system.

Pure; called by `run`. Colours follow the reader's light or dark scheme.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

PANELS = (
    ("on", "tcp1_gbps", "One TCP stream, Gbit/s"),
    ("off", "tcp1_gbps", "One TCP stream, veth offloads off, Gbit/s"),
    ("on", "udp64_kpps", "64-byte UDP received, thousand packets/s"),
    ("on", "udp1400_gbps_no_loss", "1380-byte packets of UDP without loss, Gbit/s"),
    ("on", "rtt_us", "Round trip, µs (less is better)"),
    ("on", "cpu_s_per_gb", "CPU seconds per GB at 500 Mbit/s (less is better)"),
)
WIDTH, LABEL, ROW, HEAD, GAP, MARGIN = 760, 150, 20, 30, 22, 16
BAR = WIDTH - LABEL - 2 * MARGIN - 70
STYLE = """
  :root { color-scheme: light dark; }
  .ground { fill: #ffffff; } text { font: 12px system-ui, sans-serif; fill: #24292f; }
  .title { font-size: 16px; font-weight: 600; } .head { font-size: 13px; font-weight: 600; }
  .quiet { fill: #57606a; } .ours { fill: #0969da; } .peer { fill: #8c959f; }
  .reference { fill: none; stroke: #8c959f; stroke-dasharray: 3 2; } .spread { stroke: #24292f; }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; } text { fill: #e6edf3; } .quiet { fill: #9198a1; }
    .ours { fill: #4493f8; } .peer { fill: #656c76; } .reference { stroke: #9198a1; }
    .spread { stroke: #e6edf3; }
  }
"""


def render(document: Mapping[str, Any], order: Sequence[str]) -> str:
    """Systems in the order given; those without a figure have no bar."""
    y = MARGIN + 18
    parts = [_text(MARGIN, MARGIN + 12, "Data plane, measured interleaved in one run", "title")]
    parts.append(_text(MARGIN, y + 14, _subtitle(document), "quiet"))
    y += 24
    for state, metric, title in PANELS:
        figures = document["offloads"].get(state)
        if figures is None:
            continue
        values = {name: figures["systems"].get(name, {}).get(metric) for name in order}
        bars = [(name, value) for name, value in values.items() if value is not None]
        if not bars:
            continue
        parts.append(_text(MARGIN, y + HEAD - 10, title, "head"))
        y += HEAD
        # Raw veth is context: it may leave the panel, the tunnels have to be told apart.
        top = max((value for name, value in bars if name != "raw"), default=0) or 1
        for name, value in bars:
            parts += _bar(y, name, value, top, figures["spread"][name][metric])
            y += ROW
        y += GAP
    frame = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}"'
    ground = f'<rect class="ground" width="{WIDTH}" height="{y}"/>'
    return "\n".join([f"<svg {frame}>", f"<style>{STYLE}</style>", ground, *parts, "</svg>", ""])


def _subtitle(document: Mapping[str, Any]) -> str:
    machine = document["machine"]
    return (
        f"{machine['cores']} cores hold both ends · {machine['cpu']} · Linux {machine['kernel']} · "
        f"{machine['congestion_control']} · median of {document['rounds']} rounds, line: least to most"
    )


def _bar(y: int, name: str, value: float, top: float, spread: Sequence[float]) -> list[str]:
    kind = "ours" if name.startswith("overlayd") else "reference" if name in ("raw", "bare-loop") else "peer"
    length = min(value / top, 1.0) * BAR
    cut = " →" if value > top else ""
    left, middle = LABEL + MARGIN, y + ROW // 2
    parts = [
        f'<text x="{left - 8}" y="{middle + 4}" text-anchor="end">{escape(name)}</text>',
        f'<rect class="{kind}" x="{left}" y="{y + 3}" width="{max(length, 1):.1f}" height="{ROW - 6}"/>',
    ]
    least, most = (left + min(end / top, 1.0) * BAR for end in spread)
    if most - least > 1:
        parts.append(f'<line class="spread" x1="{least:.1f}" x2="{most:.1f}" y1="{middle}" y2="{middle}"/>')
    parts.append(_text(max(left + length, most) + 6, middle + 4, f"{value:.3g}{cut}", "quiet"))
    return parts


def _text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}">{escape(words)}</text>'
