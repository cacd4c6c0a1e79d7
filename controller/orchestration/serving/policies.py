"""Policies at work: those of objects are followed by the mesh, and objects show which are. I/O: reads and
writes the store.

Nothing is kept twice. A policy that somebody made is its object, and the mesh is told of it in each run; one
that is built in or in ``controller.toml`` is shown by an object that follows from there, which nobody may
change.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from controller.config import Config
from controller.orchestration.control.intents import About, Report
from controller.orchestration.objects.kinds import Kind
from controller.orchestration.objects.policy import POLICY
from controller.orchestration.objects.problems import forbidden
from controller.orchestration.objects.schema import Object
from controller.orchestration.policies import BUILT_IN, is_shown, origin_of, ruled
from controller.orchestration.serving.carrying import Carrier
from controller.orchestration.serving.known import Known
from controller.orchestration.serving.verbs import Verbs
from controller.orchestration.serving.watching import Hub
from controller.orchestration.store.store import Key

LOG = logging.getLogger(__name__)
AGAIN_S = 1.0


def guard(kind: Kind, live: Object) -> None:
    """Raise :class:`Problem` (403) for a policy that is only shown."""
    if kind is not POLICY or not is_shown(live):
        return
    name = live["metadata"]["name"]
    if origin_of(name) == BUILT_IN:
        why = "it is built in and can be read only: make a policy of another name that names the classes"
    else:
        why = f"it is kept in controller.toml: change [policies.{name}] there and restart the controller"
    raise forbidden(kind, name, why)


class Policies:
    """``rule`` has the mesh choose paths as a configuration says; ``config`` is that of the file."""

    def __init__(self, verbs: Verbs, hub: Hub, config: Config, rule: Callable[[Config], None]) -> None:
        self._verbs = verbs
        self._carrier = Carrier(verbs)
        self._config = config
        self._rule = rule
        self._woken = asyncio.Event()
        self._known: Known[Object] = Known(verbs.store, hub, POLICY, lambda value: value, self._woken)

    async def run(self) -> None:
        """Follow what changes, until cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                self.settle()
            except Exception:
                LOG.exception("applications: policies could not be followed; trying again")
                await asyncio.sleep(AGAIN_S)
                self._woken.set()

    def settle(self) -> None:
        """Have the mesh follow what objects say now, and objects say what is followed. On the event loop."""
        self._known.catch_up()
        there = self._known.all
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        made = ruled(self._config, there.values(), now)
        self._rule(made.config)
        with self._verbs.showing() as change:
            for name, value in made.shown.items():
                change.put(_key(name), _shown(change.read(_key(name)), value, now))
            for key in there:
                if key.name not in made.shown and key.name not in made.statuses:
                    change.take_away(_key(key.name))
        self._carrier.carry(
            Report(_about(value), made.statuses[key.name])
            for key, value in there.items()
            if key.name in made.statuses and value.get("status") != made.statuses[key.name]
        )


def _key(name: str) -> Key:
    return Key(POLICY.resource, "", name)


def _about(value: Object) -> About:
    meta = value["metadata"]
    return About(POLICY.name, "", meta["name"], meta["uid"], meta["resourceVersion"])


def _shown(live: Object | None, value: Object, now: str) -> Object:
    """Return an object that shows a policy; as it is where it shows that already."""
    if live is not None and not is_shown(live):
        return live
    before: Object = live["metadata"] if live is not None else {}
    same = {key: before[key] for key in ("creationTimestamp", "resourceVersion") if key in before}
    return {**value, "metadata": {"creationTimestamp": now, **value["metadata"], **same}}
