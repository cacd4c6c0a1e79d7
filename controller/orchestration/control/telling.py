"""The events about an app: what was decided, and why. Pure."""

from collections.abc import Iterable, Sequence

from controller.orchestration.control.chosen import Chosen
from controller.orchestration.control.instances import Instance
from controller.orchestration.control.intents import About, Say
from controller.orchestration.control.replacing import Slot
from controller.orchestration.control.revisions import Revisions
from controller.orchestration.control.rollout import ALL, Rollout


def told_of_pods(
    about: About,
    made: Sequence[Slot],
    instances: Sequence[Instance],
    slots: Sequence[Slot],
    chosen: Chosen | None,
) -> Iterable[Say]:
    """Say where instances are placed, and from where and why they move."""
    chosen = chosen or Chosen()
    wanted = {slot.node for slot in slots}
    here = {one.node for one in instances if not one.leaving}
    sources = [one for one in instances if one.node not in wanted and one.draining_s is None]
    for slot in made:
        if slot.node in here:
            continue
        expected = f"; {chosen.ms[slot.node]:.0f} ms are expected" if slot.node in chosen.ms else ""
        if sources:
            source = sources.pop(0)
            why = _why(source, slot.node, chosen)
            yield Say(about, "Normal", "Moved", f"from {source.node} to {slot.node}: {why}")
        else:
            yield Say(about, "Normal", "Placed", f"on {slot.node}{expected}")


def _why(source: Instance, node: str, chosen: Chosen) -> str:
    if not source.seen:
        return f"nobody sees {source.node} any more"
    if source.node in chosen.refused:
        return chosen.refused[source.node]
    if source.node in chosen.ms and node in chosen.ms:
        return f"{chosen.ms[node]:.0f} ms are expected there, {chosen.ms[source.node]:.0f} ms here"
    return "it is the better place now"


def told_of_rollout(
    about: About, before: Rollout | None, now: Rollout, revisions: Revisions
) -> Iterable[Say]:
    """Say how a new revision comes along."""
    new = before is None or before.revision != now.revision
    if new and revisions.stable and now.revision != revisions.stable:
        yield Say(about, "Normal", "RollingOut", f"revision {now.revision} in place of {revisions.stable}")
    if not new and before is not None and now.step != before.step:
        part = "all users" if now.weight >= ALL else f"{now.weight} % of the users"
        yield Say(about, "Normal", "CanaryPassed", f"revision {now.revision} did well; it gets {part}")
    if before is None or before.phase != now.phase:
        if now.phase == "Failed":
            said = f"revision {now.revision} is taken back: {now.message}"
            yield Say(about, "Warning", "RolloutFailed", said)
        elif now.phase == "Done":
            yield Say(about, "Normal", "RolledOut", f"revision {now.revision}")
