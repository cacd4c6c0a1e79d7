"""Where an app would run and why, as a dry run of ``overlayctl apply`` shows it. Pure."""

from collections.abc import Iterator

from overlayd.cli.ctl_client import Document
from overlayd.cli.ctl_output import table

MOST = 10
"""So many nodes are shown of those that may run it, and of each reason against the others."""


def split(value: Document) -> tuple[Document, Document]:
    """Return where a dry run says that an app would run, {} where it says nothing, and the app without it."""
    status: Document = value.get("status") or {}
    if "placement" not in status:
        return {}, value
    left = {key: one for key, one in status.items() if key != "placement"}
    rest = {key: one for key, one in value.items() if key != "status"}
    return status["placement"], {**rest, "status": left} if left else rest


def lines_of(placing: Document) -> Iterator[str]:
    """Yield it in lines: the answer, the nodes that may run it, the best first, and why others may not."""
    if not placing:
        return
    yield f"  placement: {placing['summary']}"
    if candidates := placing.get("candidates"):
        rows = [_row(one) for one in candidates[:MOST]]
        head = ("", "NODE", "COST", "WITHIN", "MEAN", "PRICE", "FULL")
        yield from (f"  {line}".rstrip() for line in table(head, rows).splitlines())
        if len(candidates) > MOST:
            yield f"  and {len(candidates) - MOST} more, which cost more"
    reasons: dict[str, list[str]] = {}
    for one in placing.get("refused", []):
        reasons.setdefault(one["reason"], []).append(one["node"])
    if reasons:
        yield "  refused:"
    for reason, nodes in sorted(reasons.items(), key=lambda one: (-len(one[1]), one[0]))[:MOST]:
        named = ", ".join(nodes[:MOST]) + (f" and {len(nodes) - MOST} more" if len(nodes) > MOST else "")
        yield f"    {named}: {reason}"
    if len(reasons) > MOST:
        yield f"    and {len(reasons) - MOST} other reasons: -o json has them all"


def _row(one: Document) -> tuple[str, ...]:
    mark = "*" if one.get("chosen") else "now" if one.get("runs") else ""
    return (
        mark,
        one["node"],
        f"{one['cost']:g}",
        f"{one['withinPct']:g} %" if "withinPct" in one else "-",
        f"{one['meanMs']:g} ms" if "meanMs" in one else "-",
        f"{one['price']:g}" if "price" in one else "-",
        f"{one['fullPct']:g} %",
    )
