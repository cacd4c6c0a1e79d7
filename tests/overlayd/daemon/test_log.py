"""Lines of the log in each form, and their bound per site."""

import io
import json
import logging

import pytest

from overlayd.daemon.log import RateLimit, fields, set_up

LOG = logging.getLogger("overlayd.test")


def test_a_line_says_what_it_is_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    stream = io.StringIO()
    set_up("engine", "info", "text", stream)
    LOG.warning("prefix skipped", extra=fields(prefix="10.0.0.0/8", reason="two words", empty=""))
    LOG.debug("not said")
    [line] = stream.getvalue().splitlines()
    assert line.endswith('engine warning: prefix skipped prefix=10.0.0.0/8 reason="two words" empty=""')


def test_the_journal_gets_priorities_and_keeps_the_time_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    stream = io.StringIO()
    set_up("engine", "info", "text", stream)
    LOG.error("snapshot refused", extra=fields(field="links[0]"))
    assert stream.getvalue() == "<3>snapshot refused field=links[0]\n"


def test_json_lines_carry_the_same_fields() -> None:
    stream = io.StringIO()
    set_up("agent", "debug", "json", stream)
    LOG.info("route changed", extra=fields(path=(1, 2)))
    line = json.loads(stream.getvalue())
    assert (line["process"], line["level"], line["message"]) == ("agent", "info", "route changed")
    assert line["path"] == [1, 2]


def test_a_site_that_talks_too_much_is_cut_short_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("overlayd.daemon.log.time.monotonic", lambda: now[0])
    limit = RateLimit(burst=2, period_s=10.0)

    def passes(line: int) -> logging.LogRecord | None:
        record = logging.LogRecord("a", logging.INFO, "file.py", line, "said", None, None)
        return record if limit.filter(record) else None

    assert [passes(1) is not None for _ in range(5)] == [True, True, False, False, False]
    assert passes(2) is not None
    now[0] = 110.0
    record = passes(1)
    assert record is not None
    assert vars(record)["overlayd_fields"] == {"left_out": 3}
