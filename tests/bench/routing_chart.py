"""`routing.json` as a picture: cut per fold, calibration, changes per decision. Pure."""

from typing import Any

WIDTH, BAR, LEFT = 720, 18, 230
OURS, OTHER = "#2a6f97", "#bbbbbb"


def chart(found: dict[str, Any]) -> str:
    """Return an SVG with one group of bars for each question and trace."""
    rows: list[tuple[str, float, str, str] | str] = []
    for name, told in found.items():
        if name.startswith("generated"):
            rows += _generated(name, told["summary"], told["traces"])
        elif "by_fold" in told:
            rows.append(f"{name}: cut against direct in each fold, %")
            rows += [(f"fold {i + 1}", cut or 0.0, OURS, "%") for i, cut in enumerate(told["by_fold"])]
            rows.append(f"{name}: routes changed per decision, %; share of pairs below the q80, %")
            rows.append(("changed", told["routes_changed_pct_per_decision"], OURS, "%"))
            m10 = told["baselines"]["current_best_m10"]["routes_changed_pct_per_decision"]
            rows.append(("changed, current best", m10, OTHER, "%"))
            rows.append(("below q80 (80 is right)", 100.0 * (told["q80_coverage"] or 0.0), OURS, "%"))
        elif "q90_pinball_vs_pct" in told:
            rows.append(f"{name}: pinball loss of the q90 against rolling quantiles, %")
            rows += [(key, value, OURS, "%") for key, value in told["q90_pinball_vs_pct"].items()]
            rows.append(("below q90 (90 is right)", 100.0 * told["q90_coverage"], OURS, "%"))
    most = max((abs(row[1]) for row in rows if not isinstance(row, str)), default=1.0) or 1.0
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{(len(rows) + 1) * BAR}">']
    lines.append("<style>text{font:12px sans-serif}.t{font-weight:bold}</style>")
    for number, row in enumerate(rows):
        base = (number + 1) * BAR
        if isinstance(row, str):
            lines.append(f'<text class="t" x="8" y="{base - 4}">{row}</text>')
            continue
        label, value, colour, unit = row
        width = (WIDTH - LEFT - 80) * abs(value) / most
        lines.append(f'<text x="24" y="{base - 4}">{label}</text>')
        lines.append(
            f'<rect x="{LEFT}" y="{base - BAR + 3}" width="{width:.1f}" height="{BAR - 6}" fill="{colour}"/>'
        )
        lines.append(f'<text x="{LEFT + width + 6:.1f}" y="{base - 4}">{value:.2f} {unit}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def _generated(
    name: str, summary: dict[str, Any], traces: list[dict[str, Any]]
) -> list[tuple[str, float, str, str] | str]:
    folds = zip(*(trace["by_fold"] for trace in traces), strict=True)
    return [
        f"{name}: cut against direct, %",
        *((f"fold {i + 1}", sum(cuts) / len(cuts), OURS, "%") for i, cuts in enumerate(folds)),
        ("current best, margin 10 %", summary["m10_cut"], OTHER, "%"),
        ("knowing the state", summary["cut"] / summary["share_of_state_oracle"], OTHER, "%"),
        f"{name}: routes changed per decision, %; share of pairs below the q80, %",
        ("changed", summary["changed"], OURS, "%"),
        ("changed, current best", summary["changed"] / summary["changed_of_m10"], OTHER, "%"),
        ("below q80 (80 is right)", 100.0 * summary["coverage"], OURS, "%"),
    ]
