"""Policies of objects beside those that are built in and those of ``controller.toml``: what the mesh is told
of them, and what objects say of it. Pure.

A policy of an object is put into words of the configuration, so that there is one meaning of both.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import asdict, replace

from controller.config import ClassSection, Config, PolicySection
from controller.configured import classes_of, policies_of
from controller.orchestration.objects.policy import CLASSES, OBJECTIVES, POLICY
from controller.orchestration.objects.schema import Object
from overlayd.model.service import DEFAULT_CLASSES

BUILT_IN, FILE, OBJECT = "built-in", "controller.toml", "object"
_SHOWN = uuid.UUID("7d6b1a9e-6a3f-5c53-9d0e-5d4f0a6c1b77")
"""Uids of what is shown are made of this and of names: no client chooses a uid."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """``config`` is what the mesh is to be told; ``shown`` are objects to be there by name, without metadata
    that only a store gives; ``statuses`` [name] are those of objects that people made.
    """

    config: Config
    shown: Mapping[str, Object]
    statuses: Mapping[str, Object]


def shown_uid(name: str) -> str:
    """Return the uid of the object that shows a policy which is kept elsewhere."""
    return str(uuid.uuid5(_SHOWN, name))


def is_shown(value: Object) -> bool:
    """Tell whether an object only shows what is kept elsewhere."""
    meta = value["metadata"]
    return meta.get("uid") == shown_uid(meta["name"])


def origin_of(name: str) -> str:
    """Return from where a policy is that is only shown."""
    return BUILT_IN if name in OBJECTIVES else FILE


def ruled(config: Config, objects: Iterable[Object], now: str) -> Ruling:
    """Return what is to be followed. ``objects`` are all there are; ``now`` is RFC 3339."""
    own = sorted((one for one in objects if not is_shown(one)), key=_age)
    followed: dict[str, str] = {}
    for value in own:
        if value["metadata"]["name"] not in config.policies and "deletionTimestamp" not in value["metadata"]:
            for name in value["spec"].get("classes", []):
                followed.setdefault(name, value["metadata"]["name"])
    by_name = {value["metadata"]["name"]: value["spec"] for value in own}
    whole = replace(
        config,
        classes=config.classes
        | {name: _section(config.classes.get(name, ClassSection()), policy, by_name[policy])
           for name, policy in followed.items()},
        policies=config.policies
        | {name: PolicySection(**by_name[name]["weights"])
           for name in followed.values() if "weights" in by_name[name]},
    )  # fmt: skip
    effective = _effective(whole)
    regions = {node.region for node in config.nodes.values() if node.region}
    names = [*OBJECTIVES, *(name for name in config.policies if name not in by_name)]
    shown = {name: _shown(name, config, _followers(whole, followed, name), effective) for name in names}
    statuses = {
        value["metadata"]["name"]: _status(value, followed, effective, regions, config, now) for value in own
    }
    return Ruling(whole, shown, statuses)


def _age(value: Object) -> tuple[str, str]:
    return value["metadata"]["creationTimestamp"], value["metadata"]["name"]


def _section(section: ClassSection, policy: str, spec: Object) -> ClassSection:
    """Return what the file says of a class, its paths chosen as an object says."""
    bounds, relays = spec.get("bounds", {}), spec.get("relays", {})
    plain = ClassSection()
    return replace(
        section,
        policy=spec.get("objective", policy),
        max_rtt_ms=bounds.get("rttMs"),
        max_loss=bounds.get("loss"),
        max_price_per_gb=bounds.get("pricePerGb"),
        max_relays=relays.get("most", plain.max_relays),
        regions=tuple(relays.get("regions", ())),
        avoid_regions=tuple(relays.get("avoidRegions", ())),
    )


def _effective(config: Config) -> dict[str, Object]:
    """Return what each class is held to."""
    found: dict[str, Object] = {}
    services, policies = classes_of(config), policies_of(config)
    for built, service, policy in zip(DEFAULT_CLASSES, services, policies, strict=True):
        bounds = {"rttMs": service.bound.rtt_ms, "loss": policy.loss_ratio, "pricePerGb": policy.price_per_gb}
        said = {key: value for key, value in bounds.items() if value is not None}
        relays: Object = {"most": policy.relays}
        if policy.regions:
            relays["regions"] = list(policy.regions)
        if policy.avoid_regions:
            relays["avoidRegions"] = list(policy.avoid_regions)
        found[built.name] = {"class": built.name} | ({"bounds": said} if said else {}) | {"relays": relays}
    return found


def _followers(config: Config, followed: Mapping[str, str], name: str) -> list[str]:
    """Return the classes that follow a policy which is built in or in the file."""
    default = {one.name: one.objective.value for one in DEFAULT_CLASSES}
    return [
        one
        for one in CLASSES
        if one not in followed and (config.classes.get(one, ClassSection()).policy or default[one]) == name
    ]


def _shown(name: str, config: Config, followers: Sequence[str], effective: Mapping[str, Object]) -> Object:
    weights = config.policies.get(name)
    spec: Object = {"objective": name}
    if weights is not None:
        spec = {"weights": {one: weight for one, weight in asdict(weights).items() if weight}}
    return {
        "apiVersion": POLICY.api_version,
        "kind": POLICY.name,
        "metadata": {"name": name, "uid": shown_uid(name), "generation": 1},
        "spec": spec,
        "status": _held(origin_of(name), followers, effective),
    }


def _held(origin: str, classes: Sequence[str], effective: Mapping[str, Object]) -> Object:
    held = {"classes": list(classes), "inForce": [effective[one] for one in classes]} if classes else {}
    return {"origin": origin, **held}


def _status(
    value: Object,
    followed: Mapping[str, str],
    effective: Mapping[str, Object],
    regions: set[str],
    config: Config,
    now: str,
) -> Object:
    name, spec = value["metadata"]["name"], value["spec"]
    classes = [one for one in CLASSES if followed.get(one) == name]
    status, reason, message = _why(name, spec, classes, followed, regions, config)
    before: list[Object] = value.get("status", {}).get("conditions", [])
    holding = [one["lastTransitionTime"] for one in before if one["status"] == status]
    condition = {
        "type": "InForce",
        "status": status,
        "observedGeneration": value["metadata"]["generation"],
        "lastTransitionTime": holding[0] if holding else now,
        "reason": reason,
        "message": message,
    }
    generation = {"observedGeneration": value["metadata"]["generation"]}
    return {**_held(OBJECT, classes, effective), **generation, "conditions": [condition]}


def _why(
    name: str,
    spec: Object,
    classes: Sequence[str],
    followed: Mapping[str, str],
    regions: set[str],
    config: Config,
) -> tuple[str, str, str]:
    """Return the status, reason and message of the condition InForce."""
    asked: list[str] = spec.get("classes", [])
    if name in config.policies:
        return "False", "NameTaken", f"controller.toml has [policies.{name}]; delete this one to see that"
    if not asked:
        return "False", "NoClasses", "spec.classes names none"
    others = {one: followed[one] for one in asked if followed.get(one) not in (None, name)}
    lost = [f"{one} follows {other}, which is older" for one, other in others.items()]
    if not classes:
        return "False", "Overruled" if lost else "Deleted", "; ".join(lost) or "it is being deleted"
    relays = spec.get("relays", {})
    unknown = [
        one for key in ("regions", "avoidRegions") for one in relays.get(key, []) if one not in regions
    ]
    strange = [f"no node is in {one} ([nodes.NAME] region in controller.toml)" for one in unknown]
    said = "; ".join(
        [f"{_listed(classes)} {'follow' if len(classes) > 1 else 'follows'} it", *lost, *strange]
    )
    return "True", "UnknownRegion" if strange else "Overruled" if lost else "Followed", said


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + f" and {words[-1]}"
