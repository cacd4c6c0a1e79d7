"""What an app asks of placement, and what of its answer the loops act on. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from controller.orchestration.control.apps import App
from controller.orchestration.control.chosen import Chosen
from controller.orchestration.control.instances import Instance
from controller.orchestration.objects.reading import AppSpec
from controller.orchestration.placement.choose import Choice
from controller.orchestration.placement.wanted import Bounds, Held, Toleration, Wanted, weights_of
from overlayd.model.quantity import Amounts


def wanted_of(spec: AppSpec, apart: Iterable[str] = ()) -> Wanted:
    """Return what an app asks. ``apart`` are the apps that keep apart from it: it does so from them. Raises
    ``KeyError`` for a policy that there is not.
    """
    place, bounds = spec.placement, spec.placement.bounds
    return Wanted(
        name=spec.key,
        requests=requests_of(spec.requests),
        least=max(1, spec.least),
        most=max(1, spec.least, spec.most),
        spread=spec.spread,
        weights=weights_of(place.policy, dict(place.weights)),
        users=place.users,
        near=(place.near_app,) if place.near_app else (),
        bounds=Bounds(bounds.latency_ms, bounds.jitter_ms, bounds.mbps, bounds.loss, bounds.satisfy),
        regions=place.regions_only,
        avoid_regions=place.regions_avoid,
        selector=dict(place.node_selector),
        tolerations=tuple(_toleration(one) for one in place.tolerations),
        together=place.with_apps,
        apart=tuple(sorted({*place.apart_from, *apart})),
        max_price=place.max_price,
        cloud=place.cloud,
        runtime="docker" if any(one.image for one in spec.containers) else "process",
    )


def requests_of(amounts: Amounts) -> dict[str, float]:
    """Return amounts by placement's names of resources, without those of nothing."""
    said = {
        "cpu": float(amounts.cpu_milli),
        "memory": float(amounts.memory_bytes),
        "disk": float(amounts.disk_bytes),
        "mbps": amounts.mbps,
        **{name: float(count) for name, count in amounts.devices.items()},
    }
    return {name: value for name, value in said.items() if value > 0.0}


def apart_from(key: str, apps: Iterable[AppSpec]) -> tuple[str, ...]:
    """Return the apps that keep apart from one."""
    return tuple(one.key for one in apps if key in one.placement.apart_from)


def held_by(app: App, instances: Sequence[Instance], age_s: float) -> Held:
    """Return where an app runs: a node for each instance that is to stay."""
    stay = [one for one in instances if not one.leaving and one.draining_s is None and not one.lost]
    newest = {one.revision for one in stay}
    counted = [one for one in stay if len(newest) < 2 or one.revision != app.spec.revision] or stay
    return Held(tuple(sorted(one.node for one in counted)), age_s)


def chosen_of(spec: AppSpec, choice: Choice) -> Chosen:
    """Return what of placement's answer the loops act on."""
    expected, bounds = choice.expected, wanted_of(spec).bounds
    within, said = None, ""
    if bounds.any and expected is not None:
        within = expected.share >= bounds.satisfy
        said = (
            f"{100 * expected.share:.0f} % of the users are expected within the bounds, "
            f"{100 * bounds.satisfy:.0f} % are asked for"
        )
    ms = {name: score.ms for name, score in choice.scores.items() if score.ms is not None}
    return Chosen(choice.nodes, choice.problem, within, said, ms, choice.refused)


def _toleration(said: Mapping[str, str]) -> Toleration:
    operator = "Exists" if said.get("operator") == "Exists" else "Equal"
    return Toleration(said.get("key", ""), operator, said.get("value", ""), said.get("effect", ""))
