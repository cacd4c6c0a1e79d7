"""Watches: what there is, then each change once, in order, also after a resume."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from controller.orchestration.objects.selectors import ANY, parse
from controller.orchestration.objects.usergroup import USER_GROUP
from controller.orchestration.serving.asking import Form, Target
from controller.orchestration.serving.forms import stream
from controller.orchestration.serving.verbs import Verbs, new_write
from controller.orchestration.serving.watching import MOST_WAITING, Hub, Watcher
from controller.orchestration.store.store import HistoryLost, Store
from tests.kubernetes.trial import KINDS

GROUPS = Target(USER_GROUP, "default")
RESOURCE = USER_GROUP.resource


class World:
    """A store, its verbs, its hub; changes reach watchers at once."""

    def __init__(self, folder: Path, **options: int) -> None:
        self.store = Store(folder / "objects.db", **options)
        self.verbs = Verbs(KINDS, self.store)
        self.verbs.begin()
        self.hub = Hub(self.store, lambda work: work())

    def make(self, name: str, **labels: str) -> int:
        body = {"metadata": {"name": name, "labels": labels}, "spec": {}}
        return int(self.verbs.create(GROUPS, body, new_write("test"))["metadata"]["resourceVersion"])

    def label(self, name: str, **labels: str | None) -> None:
        target = Target(USER_GROUP, "default", name)
        body = {"metadata": {"labels": labels}}
        self.verbs.patch(target, "application/merge-patch+json", body, new_write("test"))

    def delete(self, name: str) -> None:
        self.verbs.delete(Target(USER_GROUP, "default", name), {}, new_write("test"))


def told(watcher: Watcher) -> list[tuple[str, str]]:
    return [(seen.type, msgspec.json.decode(seen.body)["metadata"]["name"]) for seen in watcher.take()]


def test_a_watcher_is_told_each_change_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    watcher = world.hub.watch(RESOURCE, None, ANY, world.store.version())
    world.make("a")
    world.label("a", x="y")
    world.delete("a")
    assert told(watcher) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_a_resumed_watch_begins_after_what_it_knows(tmp_path: Path) -> None:
    world = World(tmp_path)
    known = world.make("a")
    world.make("b")
    watcher = world.hub.watch(RESOURCE, "default", ANY, known)
    world.make("c")
    assert told(watcher) == [("ADDED", "b"), ("ADDED", "c")]


def test_a_resume_within_another_life_of_the_process_misses_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    known = world.make("a")
    world.make("b")
    world.store.close()
    again = World(tmp_path)
    again.make("c")
    assert told(again.hub.watch(RESOURCE, None, ANY, known)) == [("ADDED", "b"), ("ADDED", "c")]


def test_what_a_watcher_knows_of_is_not_told_again_when_it_is_handed_on_late(tmp_path: Path) -> None:
    world = World(tmp_path)
    late = Hub(world.store, lambda _: None)
    known = world.make("a")
    watcher = late.watch(RESOURCE, None, ANY, known)
    world.make("b")
    late.wake()
    assert told(watcher) == [("ADDED", "b")]


def test_what_comes_to_be_selected_is_added_and_what_no_longer_is_deleted(tmp_path: Path) -> None:
    world = World(tmp_path)
    selector = parse(USER_GROUP, "tier=x", "")
    watcher = world.hub.watch(RESOURCE, None, selector, world.store.version())
    world.make("a")
    world.label("a", tier="x")
    world.label("a", other="1")
    world.label("a", tier=None)
    world.delete("a")
    assert told(watcher) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_other_namespaces_and_kinds_are_not_told(tmp_path: Path) -> None:
    world = World(tmp_path)
    elsewhere = world.hub.watch(RESOURCE, "other", ANY, world.store.version())
    other = world.hub.watch("trials.overlayd.io", None, ANY, world.store.version())
    world.make("a")
    assert told(elsewhere) == [] and told(other) == []


def test_a_watcher_that_does_not_take_is_let_go(tmp_path: Path) -> None:
    world = World(tmp_path)
    watcher = world.hub.watch(RESOURCE, None, ANY, world.store.version())
    world.make("a")
    (change,) = world.store.changes(world.store.version() - 1)
    for version in range(watcher.since + 1, watcher.since + MOST_WAITING + 2):
        watcher.offer(type(change)(version, RESOURCE, "default", change.body, None, False))
    assert watcher.over


def test_history_that_is_lost_is_said(tmp_path: Path) -> None:
    world = World(tmp_path, most_changes=5, kept_s=0)
    known = world.store.version()
    for number in range(20):
        world.make(f"a{number}")
    with pytest.raises(HistoryLost):
        world.hub.watch(RESOURCE, None, ANY, known)


async def taken(events: AsyncIterator[bytes], count: int) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    async for chunk in events:
        lines += [msgspec.json.decode(line) for line in chunk.splitlines()]
        if len(lines) >= count:
            break
    return lines


def test_a_stream_tells_what_there_is_then_where_that_ends_then_changes(tmp_path: Path) -> None:
    async def scenario() -> list[dict[str, Any]]:
        world = World(tmp_path)
        world.make("a")
        first = world.store.select(RESOURCE, None)
        watcher = world.hub.watch(RESOURCE, None, ANY, first.version)
        world.make("b")
        events = stream(
            world.hub, watcher, USER_GROUP, Form(), first, bookmarks=True, initial=True, seconds=600
        )
        return await taken(events, 3)

    there, end, change = asyncio.run(scenario())
    assert (there["type"], there["object"]["metadata"]["name"]) == ("ADDED", "a")
    assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert (change["type"], change["object"]["metadata"]["name"]) == ("ADDED", "b")
