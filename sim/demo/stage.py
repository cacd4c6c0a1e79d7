"""Where the demo is told: a terminal with a progress display, or plain lines where there is none. I/O.

Called by `story` and `__main__`. The story goes to stdout; nothing here decides or measures.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

_PLAIN_WIDTH = 150  # wide enough for the tables; a file has no width of its own
_PLAIN_EVERY_S = 2.0


class Working:
    """A stretch of work that is under way; ``update`` as often as you like."""

    def __init__(self, stage: "Stage", bar: Progress, text: str) -> None:
        self._stage = stage
        self._bar = bar
        self._task = bar.add_task(text, total=None, detail="")
        self._told = time.monotonic()

    def update(self, detail: str, share: float | None = None) -> None:
        """Show how it stands, and which share (0..1) of it is done, if that is known."""
        total = None if share is None else 1.0
        self._bar.update(self._task, detail=detail, total=total, completed=share or 0.0)
        if not self._stage.console.is_terminal and time.monotonic() - self._told >= _PLAIN_EVERY_S:
            self._told = time.monotonic()
            self._stage.say(detail)


class Stage:
    """Tells the story, and how long it has taken so far."""

    def __init__(self, console: Console | None = None) -> None:
        found = console or Console(highlight=False)
        self.console = found if found.is_terminal or console else Console(highlight=False, width=_PLAIN_WIDTH)
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def chapter(self, number: int, title: str) -> None:
        self.console.print()
        self.console.print(f"{number}  {title}", style="bold cyan", markup=False)

    def say(self, text: str, style: str = "") -> None:
        """One line of the story, with the seconds since its beginning."""
        stamp = f"{self.seconds:5.1f} s"
        self.console.print(f"[dim]{stamp}[/dim]  ", end="")
        self.console.print(text, style=style, markup=False)

    def show(self, what: RenderableType) -> None:
        """A table, or a block of text, as it is."""
        self.console.print()
        self.console.print(what, markup=False)

    @contextmanager
    def working(self, text: str) -> Generator[Working]:
        """Show that something is under way, until the block ends."""
        bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        with bar:
            yield Working(self, bar, text)
