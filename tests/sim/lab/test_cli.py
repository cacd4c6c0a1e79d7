"""Exit codes and answers of ``overlayctl lab``, where no lab is needed."""

import argparse
import json
from pathlib import Path

import pytest

from sim.lab import cli, state


@pytest.fixture(autouse=True)
def no_labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "ROOT", tmp_path / "run")


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return cli.run(parser.parse_args(arguments))


def test_a_lab_that_is_not_up_is_not_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "absent") == cli.NOT_FOUND
    assert run("impair", "absent", "a:b", "delay=1ms") == cli.NOT_FOUND
    assert run("exec", "absent", "a", "true") == cli.NOT_FOUND
    assert "lab absent is not up" in capsys.readouterr().err


def test_taking_down_what_is_not_up_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("down", "absent", "-o", "json") == cli.OK
    assert json.loads(capsys.readouterr().out) == {
        "schema": "overlayd.lab-down/1",
        "lab": "absent",
        "was_up": False,
    }


def test_an_argument_that_assigns_nothing_is_a_fault_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("impair", "absent", "a:b", "delay") == cli.USAGE
    assert "KEY=VALUE" in capsys.readouterr().err


def test_a_faulty_file_is_a_failure_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "topo.clab.yml").write_text("name: x\ntopolgy: {}\n")
    assert run("up", str(tmp_path)) == cli.FAILED
    assert "unknown key 'topolgy'; did you mean 'topology'" in capsys.readouterr().err


def test_labs_that_are_up_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    (state.ROOT / "two-nodes").mkdir(parents=True)
    assert run("list", "-o", "json") == cli.OK
    assert json.loads(capsys.readouterr().out)["labs"] == ["two-nodes"]
    assert run("list", "-o", "jsonl") == cli.OK
    assert json.loads(capsys.readouterr().out) == {"lab": "two-nodes", "schema": "overlayd.labs/1"}
    assert run("list") == cli.OK
    assert capsys.readouterr().out == "two-nodes\n"
