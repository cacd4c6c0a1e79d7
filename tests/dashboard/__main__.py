"""The dashboard in a real Chromium, over live controllers: of two dozen cities, of 100 nodes, of 1,000.

The command line of `make test-dashboard`; what is tried is in `trials`.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Error

from controller.dashboard.serving import BUILT, read_built
from tests.dashboard import trials
from tests.dashboard.browser import AXE, Visit, browser, program
from tests.dashboard.mesh import cities, many, mesh

ROOT = Path(__file__).parents[2]
PARTS = ("views", "paint", "scroll")


def main() -> int:
    parser = argparse.ArgumentParser(prog="dashboard", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "dashboard.json")
    parser.add_argument("--screenshots", type=Path, help="folder for five pictures")
    arguments = parser.parse_args()
    if program() is None:
        parser.error("there is no Chromium: apt-get install chromium")
    if not read_built(BUILT) or not AXE.exists():
        parser.error("nothing is built: make dashboard")
    report: list[dict[str, Any]] = []

    def check(what: str, ok: bool, figure: Any) -> None:
        report.append({"what": what, "ok": ok, "figure": figure})
        print(f"{time.strftime('%H:%M:%S')} {'ok    ' if ok else 'FAILED'} {what}: {figure}", flush=True)

    def attempt(name: str, trial: Callable[..., object], *given: Any) -> None:
        try:
            trial(*given)
        except Error as error:  # the others are still worth trying
            check(f"{name}: to its end", False, str(error).splitlines()[0])

    trials.size(check)
    with browser() as started, tempfile.TemporaryDirectory() as folder:
        if "views" in arguments.only:
            with mesh(Path(folder) / "cities", cities) as one:
                visit, dark = Visit(started, one.url), Visit(started, one.url, "dark")
                attempt("login", trials.login, visit, one, check)
                dark.log_in(one.token)
                time.sleep(10)  # decisions about links that were seen once are made again
                attempt("figures", trials.figures, visit, one, check)
                if arguments.screenshots is not None:
                    trials.screenshots(visit, dark, arguments.screenshots)
                attempt("time travel", trials.travel, visit, check)
                attempt("keyboard", trials.keyboard, visit, check)
                attempt("live", trials.live, visit, one, check)
                attempt("views", trials.views, visit, check)
                complaints = visit.complaints + dark.complaints
                check("nothing in the console, nothing that the policy forbade", not complaints, complaints)
                visit.close()
                dark.close()
        if "paint" in arguments.only:
            with mesh(Path(folder) / "hundred", many(100, 15.0)) as one:
                visit = Visit(started, one.url)
                visit.log_in(one.token)
                attempt("painting", trials.painting, visit, check)
                visit.close()
        if "scroll" in arguments.only:
            with mesh(Path(folder) / "thousand", many(1000, None)) as one:
                visit = Visit(started, one.url)
                visit.page.set_default_timeout(90_000)
                visit.log_in(one.token)
                attempt("scrolling", trials.scrolling, visit, check)
                visit.close()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    return 0 if all(one["ok"] for one in report) else 1


if __name__ == "__main__":
    sys.exit(main())
