"""What is tried: views against the API's own figures, the keyboard, live changes, cost. I/O: a browser."""

import gzip
import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from controller.dashboard.serving import BUILT
from tests.dashboard.browser import Visit
from tests.dashboard.mesh import CITIES, Mesh

MOST_BYTES = 150_000
LEAST_FPS = 30.0
MOST_PAINT_MS = 1000.0
VIEWS = {
    "matrix": (".grid canvas", "#/matrix"),
    "map": (".drawing .node", "#/map?src=paris&dst=tokyo&metric=loss"),
    "path": ("[data-candidate]", "#/path?src=paris&dst=tokyo"),
    "events": (".events tbody tr", "#/events"),
    "nodes": (".nodes [data-node]", "#/nodes"),
}
Check = Callable[[str, bool, Any], None]

SCROLL = """async () => {
  const area = document.querySelector('.grid');
  const times = [];
  const end = performance.now() + 5000;
  await new Promise(done => {
    let way = 1;
    const frame = now => {
      times.push(now);
      if (area.scrollTop + area.clientHeight >= area.scrollHeight - 60) way = -1;
      if (area.scrollTop <= 0) way = 1;
      area.scrollBy(35 * way, 50 * way);
      now < end ? requestAnimationFrame(frame) : done();
    };
    requestAnimationFrame(frame);
  });
  const gaps = times.slice(1).map((time, i) => time - times[i]).sort((a, b) => a - b);
  const sum = gaps.reduce((a, b) => a + b, 0);
  return { fps: 1000 * gaps.length / sum, p99_ms: gaps[Math.floor(gaps.length * 0.99)] };
}"""


def ask(mesh: Mesh, path: str, **query: str) -> Any:
    """Return what the API answers."""
    search = urllib.parse.urlencode(query)
    request = urllib.request.Request(
        f"{mesh.url}{path}?{search}", headers={"Authorization": f"Bearer {mesh.token}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def size(check: Check) -> None:
    """Everything that is sent once, by gzip -9."""
    files = [path for path in BUILT.rglob("*") if path.is_file() and not path.name.startswith(".")]
    total = sum(len(gzip.compress(path.read_bytes(), 9)) for path in files)
    check("size by gzip -9 in bytes, at most 150,000", total <= MOST_BYTES, total)


def login(visit: Visit, mesh: Mesh, check: Check) -> None:
    """A wrong token is told so; the right one opens the page and is kept nowhere that a script could read."""
    page = visit.page
    page.goto(visit.url)
    page.get_by_label("Admin token").wait_for()
    check("axe: login", not (found := visit.serious()), found)
    page.get_by_label("Admin token").fill("0" * 64)
    page.keyboard.press("Enter")
    page.get_by_text("not this controller's admin token").wait_for()
    visit.log_in(mesh.token)
    kept = page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
    check("login; the token is kept nowhere", mesh.token not in kept and "overlayd_session" not in kept, "")


def views(visit: Visit, check: Check) -> None:
    """Each view shows itself; axe-core finds nothing serious in any, by day and by night, nor in tables."""
    for name, (sign, place) in VIEWS.items():
        page = visit.go(place, sign)
        page.wait_for_timeout(300)
        for theme in ("", " in the other theme"):
            check(f"axe: {name}{theme}", not (found := visit.serious()), found)
            page.keyboard.press("d")
            page.wait_for_timeout(200)
    for place in ("#/matrix?table&src=paris&dst=tokyo", "#/map?table"):
        visit.go(place, "tbody tr[data-from]")
        check(f"axe: {place}", not (found := visit.serious()), found)


def figures(visit: Visit, mesh: Mesh, check: Check) -> None:
    """What is read on the page is what the API says."""
    page = visit.go("#/matrix?src=paris&dst=tokyo", "[data-figure='paris>tokyo']")
    shown = page.locator("[data-figure='paris>tokyo']").inner_text()
    check(
        "matrix: paris → tokyo as the API says", near(shown, api_figure(mesh, "rtt", "paris", "tokyo")), shown
    )
    visit.go("#/matrix?metric=loss&src=paris&dst=tokyo", "[data-figure='paris>tokyo']")
    visit.until("document.querySelector(\"[data-figure='paris>tokyo']\")?.innerText.includes('%')")
    shown = page.locator("[data-figure='paris>tokyo']").inner_text()
    check(
        "matrix: loss as the API says", near(shown, 100 * api_figure(mesh, "loss", "paris", "tokyo")), shown
    )
    told = ask(mesh, "/v1/explain", src="paris", dst="tokyo")
    page = visit.go("#/path?src=paris&dst=tokyo", "[data-candidate]")
    primary = page.locator("[data-primary]").get_attribute("data-primary")
    check("path: the primary as explained", primary == ">".join(told["candidates"][0]["path"]), primary)
    hops = page.locator("[data-hop]").count()
    check("path: each hop has its row", hops == len(told["candidates"][0]["path"]), hops)
    page = visit.go("#/nodes", "[data-node]")
    check(
        "nodes: all members",
        page.locator("[data-node]").count() == len(CITIES),
        page.locator("[data-node]").count(),
    )
    check("nodes: connected", "connected" in page.locator("[data-node=paris]").inner_text(), "")
    page = visit.go("#/events", ".events tbody tr")
    page.get_by_role("button", name="route").click()
    newest = ask(mesh, "/v1/events", kind="route", limit="1")["items"][0]
    first = page.locator(".events tbody tr").first.inner_text()
    check(
        "events: the newest change of a route",
        newest["nodes"][0] in first and newest["class"] in first,
        first,
    )
    page = visit.go("#/map", ".drawing .node")
    check("map: all nodes", page.locator(".drawing .node").count() == len(CITIES), "")


def api_figure(mesh: Mesh, metric: str, src: str, dst: str) -> float:
    matrix = ask(mesh, "/v1/links/matrix", metric=metric)
    at = {name: i for i, name in enumerate(matrix["nodes"])}
    return float(matrix["values"][at[src]][at[dst]])


def near(shown: str, told: float) -> bool:
    """Figures go on while both are read: by a step of the scale at most."""
    return abs(float(shown.split()[0]) - told) <= 0.06 * told


def live(visit: Visit, mesh: Mesh, check: Check) -> None:
    """A change in the mesh is seen without a question: a slower link, and a link that goes down."""
    page = visit.go("#/matrix?src=oslo&dst=warsaw", "[data-figure='oslo>warsaw']")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    mesh.extra_ms[frozenset(("oslo", "warsaw"))] = 700.0
    began = time.monotonic()
    visit.until("parseFloat(document.querySelector(\"[data-figure='oslo>warsaw']\")?.innerText) > 600")
    took = time.monotonic() - began
    check(
        "live: a slower link is seen without a question, within 5 s",
        took < 5 and not asked,
        f"{took:.1f} s {asked}",
    )
    mesh.down.add(frozenset(("oslo", "milan")))
    visit.go("#/events", ".events tbody tr")
    page.locator(".events tr", has_text="link down").first.wait_for()
    check("live: a link that goes down is an event", True, "")
    mesh.extra_ms.clear()
    mesh.down.clear()


def travel(visit: Visit, check: Check) -> None:
    """Nine hours ago one node's access was bad: the past shows it, the present does not."""
    sick = sorted(CITIES)[len(CITIES) // 2]
    now = time.time()
    page = visit.go(f"#/matrix?src=amsterdam&dst={sick}&at={int(now - 9 * 3600 + 900)}", ".status.past")
    figure = page.locator(f"[data-figure='amsterdam>{sick}']")
    visit.until("/^[0-9]/.test(document.querySelector('[data-figure]')?.innerText ?? '')")
    then = float(figure.inner_text().split()[0])
    page.locator(".grid").focus()
    page.keyboard.press("n")
    page.locator("[data-stream=live]").wait_for()
    present = float(figure.inner_text().split()[0])
    check("time travel: the past is another", then > present + 50, f"{then} ms then, {present} ms now")


def keyboard(visit: Visit, check: Check) -> None:
    """Through all views and to a link's path without a pointer."""
    page = visit.page
    for number, (name, (sign, _)) in enumerate(VIEWS.items(), start=1):
        if name in ("path",):
            continue
        page.keyboard.press(str(number))
        page.locator(sign).first.wait_for()
    page.keyboard.press("1")
    page.locator(".grid").focus()
    for key in ("Home", "ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    said = page.locator("#grid-said").inner_text()
    page.keyboard.press("Enter")
    page.locator("[data-candidate]").first.wait_for()
    heading = page.locator(".path h2").inner_text()
    check(
        "keyboard: a link is chosen and its path opened",
        heading.split(" ")[0] == said.split(" ")[0],
        f"{said} / {heading}",
    )
    page.keyboard.press("?")
    page.get_by_role("heading", name="Keys").wait_for()
    page.keyboard.press("Escape")
    check(
        "keyboard: the list of keys opens and closes",
        not page.get_by_role("heading", name="Keys").is_visible(),
        "",
    )


def scrolling(visit: Visit, check: Check) -> dict[str, float]:
    """A thousand nodes scroll."""
    visit.go("#/matrix", ".grid canvas")
    visit.page.wait_for_timeout(3000)
    found: dict[str, float] = visit.page.evaluate(SCROLL)
    check(
        "1,000 nodes: frames a second while the matrix scrolls, at least 30",
        found["fps"] >= LEAST_FPS,
        round(found["fps"], 1),
    )
    return found


def painting(visit: Visit, check: Check) -> None:
    """Three times with nothing cached; the middle one counts."""
    times: list[float] = []
    for turn in range(3):
        cdp = visit.context.new_cdp_session(visit.page)
        cdp.send("Network.setCacheDisabled", {"cacheDisabled": True})
        visit.page.goto(f"{visit.url}/?again={turn}#/matrix")
        visit.until("performance.getEntriesByName('figures').length > 0")
        times.append(visit.page.evaluate("performance.getEntriesByName('figures')[0].startTime"))
    middle = sorted(times)[1]
    check(
        "100 nodes and a day: ms until figures are painted, at most 1,000",
        middle <= MOST_PAINT_MS,
        [round(t) for t in times],
    )


def screenshots(visit: Visit, dark: Visit, folder: Path) -> None:
    """Five pictures for the documentation."""
    folder.mkdir(parents=True, exist_ok=True)
    now = int(time.time())
    for shot, place, sign, name in (
        (visit, "#/matrix?src=paris&dst=tokyo", ".panel .u-legend", "matrix"),
        (dark, "#/map?src=paris&dst=tokyo&metric=loss", ".route text", "map"),
        (visit, "#/path?src=paris&dst=tokyo", "[data-hop]", "path"),
        (
            dark,
            f"#/matrix?metric=loss&src=amsterdam&dst=london&at={now - 9 * 3600 + 900}",
            ".panel .u-legend",
            "past",
        ),
        (visit, "#/nodes", "[data-node]", "nodes"),
    ):
        page = shot.go(place, sign)
        page.wait_for_timeout(1500)
        page.screenshot(path=folder / f"dashboard-{name}.png")
