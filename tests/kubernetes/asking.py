"""The table of calls, asked of a server one after another, and answers without what differs from run to
run.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

FOLDER = Path(__file__).parent
RECORDED = FOLDER / "recorded.json"
TABLES = ("calls.yaml", "calls-apps.yaml")

_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_AGE = re.compile(r"\d+[smhdy](\d+[smhd])?")
_KEPT_UID = "11111111-2222-3333-4444-555555555555"


@dataclass(frozen=True)
class Call:
    """One request. ``differs`` names where (dotted places of the answer) ours is another, and why."""

    name: str
    method: str
    path: str
    body: Any
    media: str
    accept: str
    differs: dict[str, str]


def calls() -> list[Call]:
    """Return the table."""
    made: list[Call] = []
    for entry in [entry for name in TABLES for entry in yaml.safe_load((FOLDER / name).read_text())]:
        method, _, path = entry["call"].partition(" ")
        media, accept = entry.get("media", "application/json"), entry.get("accept", "application/json")
        differs = entry.get("differs", {})
        made.append(Call(entry["name"], method, path, entry.get("body"), media, accept, differs))
    return made


async def ask(client: httpx.AsyncClient, table: list[Call]) -> dict[str, Any]:
    """Return the normalised answer to each call, by its name."""
    answers: dict[str, Any] = {}
    version = before = "0"
    for call in table:
        text = None if call.body is None else json.dumps(call.body)
        if text is not None:
            text = text.replace("{rv}", version).replace("{before}", before)
        headers = {"accept": call.accept, "user-agent": "table/1"}
        if text is not None:
            headers["content-type"] = call.media
        response = await client.request(call.method, call.path, content=text, headers=headers)
        body = response.json() if response.content.startswith(b"{") else response.text.strip()
        if isinstance(body, dict) and (seen := body.get("metadata", {}).get("resourceVersion")):
            version, before = seen, version
        answer = {"code": response.status_code, "body": normal(body)}
        if warnings := response.headers.get_list("warning"):
            answer["warnings"] = warnings
        answers[call.name] = answer
    return answers


def normal(value: Any, key: str = "") -> Any:
    """Return an answer without uids, versions, times and ages."""
    match value:
        case dict() if value.get("reason") == "Invalid" and len(value["details"].get("causes", ())) > 1:
            # Which of several faults Kubernetes tells first is by chance.
            causes = sorted(value["details"]["causes"], key=lambda one: (one["field"], one["message"]))
            head = value["message"].partition(" is invalid: ")[0]
            details = dict(sorted({**value["details"], "causes": causes}.items()))
            return dict(sorted({**value, "details": details, "message": head}.items()))
        case dict():
            return {
                name: normal(part, name)
                for name, part in sorted(value.items())
                if name != "storageVersionHash"
            }
        case list() if key == "cells":
            return [
                _AGE.sub("<age>", one) if isinstance(one, str) and _AGE.fullmatch(one) else one
                for one in value
            ]
        case list() if key == "managedFields":
            return sorted(
                (normal(part) for part in value),
                key=lambda one: (one["operation"], one["manager"], one.get("subresource", "")),
            )
        case list() if key == "resources":
            return sorted((normal(part) for part in value), key=lambda one: one["name"])
        case list():
            return [normal(part, key) for part in value]
        case str() if key == "resourceVersion":
            return "<version>" if value else value
        case str():
            value = _UID.sub(lambda found: found[0] if found[0] == _KEPT_UID else "<uid>", value)
            return _TIME.sub(lambda found: found[0] if found[0].startswith("2026-01-01") else "<time>", value)
        case _:
            return value


def differences(wanted: Any, found: Any, place: str = "") -> list[str]:
    """Return at which places two answers differ."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [
            one
            for key in sorted({**wanted, **found})
            for one in differences(wanted.get(key), found.get(key), f"{place}.{key}".lstrip("."))
        ]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return [
            one
            for at, (left, right) in enumerate(zip(wanted, found, strict=True))
            for one in differences(left, right, f"{place}.{at}")
        ]
    return [] if wanted == found else [place]


def unexplained(call: Call, wanted: Any, found: Any) -> list[str]:
    """Return the places at which an answer differs and the table does not say why; also what it says in
    vain.
    """
    places = differences(wanted, found)
    said = set(call.differs)
    left = [place for place in places if not any(place == one or place.startswith(f"{one}.") for one in said)]
    vain = [one for one in said if not any(place == one or place.startswith(f"{one}.") for place in places)]
    return left + [f"{one} (does not differ)" for one in vain]
