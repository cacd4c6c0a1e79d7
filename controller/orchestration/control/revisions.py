"""Which revisions of an app there were, and going back to one. Pure."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import msgspec

from controller.orchestration.control.apps import App, Past
from controller.orchestration.objects.reading import TEMPLATE, AppSpec, template
from controller.orchestration.objects.schema import Object

ROLL_BACK: Final = "overlayd.io/rollback-to"
"""Annotation of an app: the revision, or its number in the history, whose template it is to have again."""
KEPT: Final = 10
MOST_BYTES: Final = 256 * 1024
"""Of all templates of a history together; the newest two are kept in any case."""


@dataclass(frozen=True, slots=True)
class Revisions:
    """``wanted`` is that of the spec, ``stable`` the one that came to run last, whole; empty for none.
    ``past`` has both, the newest first.
    """

    wanted: str
    stable: str
    past: tuple[Past, ...]

    def spec(self, app: App, revision: str) -> AppSpec:
        """Return an app's spec with the template of a revision. Raises :class:`KeyError`."""
        if revision == self.wanted:
            return app.spec
        found = next((one for one in self.past if one.revision == revision), None)
        if found is None:
            raise KeyError(revision)
        return AppSpec.of({**app.raw, "spec": _with(app.raw["spec"], found)})

    def settled(self) -> "Revisions":
        """Return these with the wanted one as the stable one."""
        return replace(self, stable=self.wanted)


def revisions_of(app: App, now_s: float) -> Revisions:
    """Return the revisions of an app, that of its spec among them."""
    past, told = app.status.history, app.status.rollout
    stable = "" if told is None else told.stable
    if all(one.revision != stable for one in past):
        stable = ""
    wanted = app.spec.revision
    if not past or past[0].revision != wanted:
        newest = Past(
            revision=wanted,
            number=max((one.number for one in past), default=0) + 1,
            time=timestamp(now_s),
            image=", ".join(one.image or " ".join(one.command[:1]) for one in app.spec.containers),
            template=msgspec.json.encode(template(app.raw["spec"])).decode(),
        )
        past = _kept((newest, *(one for one in past if one.revision != wanted)), stable)
    return Revisions(wanted, stable, past)


def _with(spec: Object, past: Past) -> Object:
    """Return a spec with another template."""
    kept = {key: value for key, value in spec.items() if key not in TEMPLATE}
    return {**msgspec.json.decode(past.template), **kept}


def _kept(past: tuple[Past, ...], stable: str) -> tuple[Past, ...]:
    """Return as many as may be kept, the stable one in any case."""
    kept: list[Past] = []
    size = 0
    for place, one in enumerate(past):
        size += len(one.template)
        if one.revision == stable or place < 2 or (len(kept) < KEPT and size <= MOST_BYTES):
            kept.append(one)
    return tuple(kept)


def rolled_back(app: App) -> tuple[Object, str, bool] | None:
    """Return the app with the template that it is to go back to, what to say of it, and whether there is such
    a revision; None: it is not to go back.
    """
    asked = app.metadata.annotations.get(ROLL_BACK)
    if asked is None:
        return None
    meta = app.raw["metadata"]
    notes = {key: value for key, value in meta["annotations"].items() if key != ROLL_BACK}
    body: Object = {**app.raw, "metadata": {**meta, "annotations": notes}}
    found = next((one for one in app.status.history if asked in (one.revision, str(one.number))), None)
    if found is None:
        known = ", ".join(f"{one.number} ({one.revision})" for one in app.status.history)
        return body, f"there is no revision {asked}; there are {known or 'none'}", False
    body["spec"] = _with(app.raw["spec"], found)
    return body, f"to revision {found.number} ({found.revision})", True


def timestamp(unix_s: float) -> str:
    """Return Unix seconds as RFC 3339 in UTC, whole seconds."""
    return datetime.fromtimestamp(int(unix_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
