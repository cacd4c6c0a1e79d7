"""What a route's figures say, in a sentence: for routes that come without one. Pure."""

from overlayd.model.route import Candidate, Route, Verdict


def primary_in_words(route: Route) -> str:
    """Return why a primary is in force that was told without a reason: nothing was left for it."""
    primary = next((c for c in route.candidates if c.path == route.paths[0]), None)
    kind = "direct" if len(route.paths[0]) == 1 else "relayed"
    if primary is None or primary.forecast_rtt_ms is None:
        return kind
    return f"{kind}, forecast {primary.forecast_rtt_ms:.1f} ms: the best that was found"


def candidate_in_words(route: Route, candidate: Candidate) -> str:
    """Return what speaks for or against one of the route's own paths."""
    if candidate.verdict is Verdict.PRIMARY:
        return route.reason or primary_in_words(route)
    shared = "shares no relay with the primary"
    primary = next((c for c in route.candidates if c.path == route.paths[0]), None)
    if primary is None or primary.forecast_rtt_ms is None or candidate.forecast_rtt_ms is None:
        return shared
    more = candidate.forecast_rtt_ms - primary.forecast_rtt_ms
    return f"{shared}; forecast {abs(more):.1f} ms {'more' if more >= 0 else 'less'} than it"
