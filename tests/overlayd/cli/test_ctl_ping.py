"""`overlayctl ping` on the loopback interface, as far as this host lets us send echoes."""

import json
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlayd.cli import ctl
from overlayd.cli.ctl_ping import Result, internet_checksum
from overlayd.protocol import local
from tests.overlayd.cli.fake_agent import FakeAgent


def may_ping() -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP).close()
            return True
        except PermissionError:
            continue
    return False


def test_an_echo_is_answered_or_the_missing_right_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    code = ctl.main(["ping", "127.0.0.1", "-c", "3", "-i", "0.01", "-o", "json"])
    output = capsys.readouterr()
    if not may_ping():
        assert code == 5 and "ping_group_range" in output.err
        return
    document = json.loads(output.out)
    assert code == 0 and document["schema"] == "overlayd.ping/1"
    assert (document["sent"], document["received"], document["loss_ratio"]) == (3, 3, 0.0)
    assert 0 < document["rtt_min_ms"] <= document["rtt_mean_ms"] <= document["rtt_max_ms"]


def test_an_unknown_name_names_the_known_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = local.NodeRow(2, "berlin", ("100.64.0.2",), (), (), True, False, 0)
    with FakeAgent(tmp_path / "sock", nodes=local.NodeList((row,))) as agent:
        assert ctl.main(["ping", "atlantis", "--socket", agent.path]) == 4
    assert "berlin" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["-c", "0"], ["-i", "0"], ["-i", "nan"], ["-W", "-1"], ["--dscp", "64"]])
def test_senseless_wishes_are_usage_errors(words: list[str]) -> None:
    assert ctl.main(["ping", "127.0.0.1", *words]) == 2


def test_nothing_sent_is_no_loss_figure() -> None:
    assert Result("berlin", "100.64.0.2").document().loss_ratio is None


@given(st.binary(min_size=2, max_size=64).filter(lambda data: len(data) % 2 == 0))
def test_data_with_its_checksum_sums_up_to_zero(data: bytes) -> None:
    checksum = internet_checksum(data)
    assert internet_checksum(data + checksum.to_bytes(2, "big")) in (0, 0xFFFF)
