"""The published schemas are those of the types in use, and say what the programs do."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from overlayd.daemon.config import load
from overlayd.daemon.config_changes import RELOADABLE
from overlayd.daemon.errors import ConfigurationError
from tests.packaging.json_schema import violations
from tools import schemas

ROOT = Path(__file__).parents[2]
EVERYTHING = """
[node]
name = "paris"
[engine]
shards = 1
spin_us = 0
[offload]
udp_gro = false
[[uplink]]
name = "isp1"
address = "::"
endpoint = ""
rate = "10mbit"
[agent]
announce = ["192.168.7.0/24"]
reconnect_spread = 0.5
[metrics]
listen = "127.0.0.1:9460"
[log]
level = "debug"
[[classify]]
class = "bulk"
protocol = "udp"
source_port = 22
"""


def published(name: str) -> dict[str, Any]:
    return json.loads((schemas.FOLDER / name).read_text("utf-8"))


def test_the_published_schemas_are_those_of_the_types_in_use() -> None:
    wanted = schemas.all_schemas()
    assert {file.name for file in schemas.FOLDER.glob("*.json")} == wanted.keys(), "python -m tools.schemas"
    for name, text in wanted.items():
        assert (schemas.FOLDER / name).read_text("utf-8") == text, f"{name}: python -m tools.schemas"


def test_every_key_of_the_configuration_tells_whether_a_reload_puts_it_in_force() -> None:
    structs = published(schemas.CONFIGURATION)["$defs"]
    told = {
        f"{name.removesuffix('Section').lower()}.{key}": schema["x-reloadable"]
        for name, struct in structs.items()
        for key, schema in struct["properties"].items()
    }
    assert {key for key, live in told.items() if live} == RELOADABLE
    assert len(told) > len(RELOADABLE)


@pytest.mark.parametrize(
    ("before", "after", "right"),
    [
        ("", "", True),
        ("mtu", "mtu", True),
        ('name = "paris"', 'nam = "paris"', False),
        ("shards = 1", "shards = 17", False),
        ("shards = 1", 'shards = "many"', False),
        ('address = "::"', "", False),
        ('level = "debug"', 'level = "loud"', False),
        ("reconnect_spread = 0.5", "reconnect_spread = 0", False),
        ('"udp"', "132", True),
        ('"udp"', '"sctp"', False),
        ('class = "bulk"', "", False),
        ("source_port = 22", "source_port = 0", False),
    ],
)
def test_the_schema_and_the_programs_agree(tmp_path: Path, before: str, after: str, right: bool) -> None:
    file = tmp_path / "overlayd.toml"
    file.write_text(EVERYTHING.replace(before, after) if before else EVERYTHING)
    found = violations(tomllib.loads(file.read_text()), published(schemas.CONFIGURATION))
    assert (found == []) == right, found
    try:
        load(file)
    except ConfigurationError:
        assert not right
    else:
        assert right
