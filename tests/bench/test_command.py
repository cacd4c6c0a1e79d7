"""The frame of the benchmarks' command lines."""

import argparse
import os
import signal
from collections.abc import Iterator

import pytest

from tests.bench.command import carry_out
from tests.bench.programs import Missing

PARSER = argparse.ArgumentParser(prog="bench-something")


@pytest.fixture(autouse=True)
def as_root(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Root by name, and the signals' handlers as before at the end."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("said", "code"), [(None, 0), (True, 0), (False, 1)])
def test_the_exit_code_is_what_the_work_says(said: bool | None, code: int) -> None:
    assert carry_out(PARSER, lambda: said) == code


def test_what_is_missing_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise Missing("iperf3 is not installed")

    assert carry_out(PARSER, work) == 1
    assert capsys.readouterr().err == "bench-something: iperf3 is not installed\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_work_in_order(number: signal.Signals) -> None:
    cleaned_up: list[bool] = []

    def work() -> None:
        try:
            os.kill(os.getpid(), number)
            signal.pause()
        finally:
            cleaned_up.append(True)

    with pytest.raises(SystemExit) as ended:
        carry_out(PARSER, work)
    assert (ended.value.code, cleaned_up) == (128 + number, [True])


def test_an_interruption_from_the_keyboard_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise KeyboardInterrupt

    assert carry_out(PARSER, work) == 128 + signal.SIGINT
    assert capsys.readouterr().err == "interrupted\n"


def test_others_than_root_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit) as ended:
        carry_out(PARSER, lambda: pytest.fail("it must not come to the work"))
    assert ended.value.code == 2
