"""The drawing is well-formed SVG that shows every site, link and path."""

from xml.etree import ElementTree

from sim.demo.drawing import HEIGHT, WIDTH, DrawnLink, DrawnPath, draw
from sim.demo.measure import Way

LINKS = [
    DrawnLink(Way("paris", "madrid"), 26.4, 0.0, 186.5, 0.15),
    DrawnLink(Way("paris", "frankfurt"), 10.4, 0.0),
    DrawnLink(Way("frankfurt", "madrid"), 32.5, 0.02),
    DrawnLink(Way("madrid", "a<b&c"), None, 1.0),
]
PATHS = [
    DrawnPath("before", ("paris", "madrid")),
    DrawnPath("during", ("paris", "frankfurt", "madrid")),
    DrawnPath("after", ()),
]
SVG = "{http://www.w3.org/2000/svg}"


def drawn() -> ElementTree.Element:
    return ElementTree.fromstring(draw(LINKS, PATHS))


def texts() -> list[str]:
    return ["".join(text.itertext()) for text in drawn().iter(f"{SVG}text")]


def lines(kind: str) -> list[ElementTree.Element]:
    return [line for line in drawn().iter(f"{SVG}line") if line.get("class") == kind]


def test_every_site_is_named_once_whatever_its_name() -> None:
    for name in ("paris", "frankfurt", "madrid", "a<b&c"):
        assert texts().count(name) == 1


def test_links_carry_round_trip_and_loss_and_what_became_of_them() -> None:
    assert "26 ms→ 186 ms, 15% lost" in texts()
    assert "10 ms" in texts()
    assert "32 ms, 2% lost" in texts()
    assert "no answer, 100% lost" in texts()
    assert (len(lines("bad")), len(lines("link"))) == (1, 3)


def test_a_path_is_a_line_along_each_of_its_links_and_in_the_legend() -> None:
    assert len(lines("path before")) == 1 + 1
    assert len(lines("path during")) == 2 + 1
    assert "during: paris → frankfurt → madrid" in texts()


def test_a_path_that_is_not_known_is_not_drawn() -> None:
    assert not lines("path after")


def test_nothing_lies_outside() -> None:
    for line in drawn().iter(f"{SVG}line"):
        assert all(0 <= float(line.get(axis, "-1")) <= WIDTH for axis in ("x1", "x2"))
        assert all(0 <= float(line.get(axis, "-1")) <= HEIGHT for axis in ("y1", "y2"))


def test_an_empty_story_still_has_a_drawing() -> None:
    assert ElementTree.fromstring(draw([], [])).tag == f"{SVG}svg"
