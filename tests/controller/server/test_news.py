"""What is told of links that go down, and to whom: in as few words as say it."""

from controller.server.news import Happening, News, Outages
from controller.topology.links import Topology, Vertex
from overlayd.model.ids import NodeId

SECOND = 1_000_000_000
NODES = 12
NAMES = {NodeId(i + 1): f"n{i}" for i in range(NODES)}


def topology() -> Topology:
    made = Topology()
    made.add([Vertex(node, name, relay=False) for node, name in NAMES.items()])
    made.latest.up[:] = 1
    made.latest.said_ns[:] = 100 * SECOND
    return made


def told(outages: Outages, links: Topology, at_s: int) -> list[tuple[tuple[str, ...], str]]:
    return [(one.nodes, one.reason) for one in outages.compare(links, at_s * SECOND, NAMES)]


def test_a_link_is_down_as_soon_as_one_end_says_so_and_up_when_both_do() -> None:
    outages, links = Outages(), topology()
    assert told(outages, links, 101) == []
    links.latest.up[3, 5] = 0
    assert told(outages, links, 101) == [(("n3", "n5"), "link down")]
    links.latest.up[5, 3] = 0
    assert told(outages, links, 101) == []
    links.latest.up[3, 5] = 1
    assert told(outages, links, 101) == []
    links.latest.up[5, 3] = 1
    assert told(outages, links, 101) == [(("n3", "n5"), "link up again")]


def test_a_node_that_loses_all_its_links_is_told_once() -> None:
    outages, links = Outages(), topology()
    links.latest.up[:, 7] = links.latest.up[7, :] = 0
    links.latest.up[0, 1] = 0
    assert told(outages, links, 101) == [(("n7",), f"{NODES - 1} links down"), (("n0", "n1"), "link down")]


def test_of_a_link_of_which_nobody_speaks_any_more_nothing_is_told() -> None:
    outages, links = Outages(), topology()
    links.latest.up[0, 1] = 0
    assert len(told(outages, links, 101)) == 1
    assert told(outages, links, 10_000) == []
    links.latest.said_ns[:] = 10_000 * SECOND
    assert told(outages, links, 10_000) == []  # still down
    links.remove(NodeId(1))
    assert told(outages, links, 10_000) == []


def test_what_was_told_is_given_once_and_no_more_than_is_kept() -> None:
    news = News()
    for number in range(3):
        news.node(f"n{number}", "joined")
    assert [one.nodes for one in news.since(1) if isinstance(one, Happening)] == [("n1",), ("n2",)]
    assert news.since(news.told) == []
    for number in range(5000):
        news.node(f"n{number}", "joined")
    assert len(news.since(0)) == len(news.remembered()) == 1000
    assert news.remembered()[0].nodes == ("n4999",)


def test_listeners_are_woken_by_changes_and_by_the_end() -> None:
    news = News()
    with news.listening() as bell:
        assert bell is not None and not bell.is_set()
        news.links_reported()
        assert bell.is_set()
        news.close()
        assert news.closed.is_set()
    assert news.listeners == 0
