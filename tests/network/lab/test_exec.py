"""A command run on a node of a lab, as a person would."""

import json

import pytest

from overlayd.cli import ctl
from tests.network.lab.conftest import SITES
from tests.network.lab.mesh import Mesh

HERE = SITES[0]


def test_a_command_on_a_node_finds_its_agent(pair: Mesh, capfd: pytest.CaptureFixture[str]) -> None:
    assert ctl.main(["lab", "exec", pair.name, HERE, "overlayctl", "status", "-o", "json"]) == 0
    assert json.loads(capfd.readouterr().out)["node"] == HERE


def test_it_runs_in_the_nodes_network_and_its_exit_code_is_the_answer(
    pair: Mesh, capfd: pytest.CaptureFixture[str]
) -> None:
    assert ctl.main(["lab", "exec", pair.name, HERE, "--", "ip", "-br", "address", "show", "overlay0"]) == 0
    assert pair.overlay(HERE) in capfd.readouterr().out
    assert ctl.main(["lab", "exec", pair.name, HERE, "sh", "-c", "exit 3"]) == 3


def test_a_node_that_is_not_there_is_named(pair: Mesh, capsys: pytest.CaptureFixture[str]) -> None:
    assert ctl.main(["lab", "exec", pair.name, "nowhere", "true"]) == 2
    assert f"there is no node 'nowhere'; nodes: {HERE}" in capsys.readouterr().err
