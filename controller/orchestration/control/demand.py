"""Who is asked for: apps that may run nowhere do so while nobody asks, and not for some time after. Pure.

Nothing of it is kept: what a controller finds running when it begins counts as asked for just now.
"""

from collections.abc import Iterable

IDLE_S = 300.0
"""An app that may run nowhere is stopped after so long without a request."""


class Demanded:
    """When each app was asked for last, in seconds of a clock that only runs forward."""

    def __init__(self) -> None:
        self._asked: dict[str, float] = {}

    def ask(self, apps: Iterable[str], now_s: float) -> None:
        """Somebody asks for apps."""
        for app in apps:
            self._asked[app] = now_s

    def asleep(self, app: str, least: int, running: bool, now_s: float) -> bool:
        """Tell whether an app is to run nowhere. ``running``: it has instances."""
        if least > 0:
            return False
        if app not in self._asked:
            if not running:
                return True
            self._asked[app] = now_s
        return now_s - self._asked[app] >= IDLE_S

    def due_s(self, app: str, now_s: float) -> float | None:
        """Return in how many seconds an app falls asleep."""
        asked = self._asked.get(app)
        return None if asked is None or now_s - asked >= IDLE_S else asked + IDLE_S - now_s

    def keep(self, apps: Iterable[str]) -> None:
        """Forget all apps but these."""
        there = set(apps)
        self._asked = {app: at for app, at in self._asked.items() if app in there}
