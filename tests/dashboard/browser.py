"""Debian's Chromium by Playwright, and what it complains about. I/O: processes."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, sync_playwright

AXE = Path(__file__).parents[2] / "controller/dashboard/web/node_modules/axe-core/axe.min.js"
SERIOUS = ("serious", "critical")
SIZE = {"width": 1440, "height": 900}
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def program() -> str | None:
    """Return the path of a Chromium on this host."""
    return next((found for name in PROGRAMS if (found := shutil.which(name)) is not None), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium for the length of a block."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=program(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield started
        finally:
            started.close()


class Visit:
    """A page of a context of its own. ``complaints`` are errors of scripts, and what the policy forbade."""

    def __init__(self, started: Browser, url: str, scheme: str = "light") -> None:
        self.url = url
        self.context: BrowserContext = started.new_context(viewport=SIZE, color_scheme=scheme)  # type: ignore[arg-type]
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.set_default_timeout(20_000)

    def _heard(self, message: ConsoleMessage) -> None:
        expected = "401 (Unauthorized)" in message.text  # before somebody is logged in
        if message.type == "error" and not expected:
            self.complaints.append(message.text)

    def log_in(self, token: str) -> None:
        """Come in by the keyboard alone."""
        self.page.goto(self.url)
        self.page.get_by_label("Admin token").wait_for()
        self.page.keyboard.type(token)
        self.page.keyboard.press("Enter")
        self.page.locator("[data-stream=live]").wait_for()

    def go(self, hash_: str, wait_for: str) -> Page:
        """Open a place of the page, and wait for something in it."""
        self.page.evaluate("hash => { location.hash = hash }", hash_)
        self.page.locator(wait_for).first.wait_for()
        return self.page

    def until(self, expression: str, seconds: float = 20.0) -> None:
        """Wait for something of the page to hold; Playwright's own way would need what the policy forbids."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            if time.monotonic() > end:
                raise Error(f"never true: {expression}")
            self.page.wait_for_timeout(50)

    def serious(self) -> list[str]:
        """Return what axe-core finds that is serious or worse."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text("utf-8"))
        found: dict[str, Any] = self.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        return [
            f"{one['id']}: {node['html'][:120]} {node['failureSummary'][:200]}"
            for one in found["violations"]
            if one["impact"] in SERIOUS
            for node in one["nodes"][:3]
        ]

    def close(self) -> None:
        self.context.close()
