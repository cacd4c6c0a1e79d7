"""A row of the table is what users saw, from when the app could be up."""

from dataclasses import replace

from tests.autonomy.rows import Row, failed, serves_s, table

SEEN = [(10.0, ""), (10.1, "refused"), (10.2, "refused"), (12.5, ""), (12.6, "")]


def test_an_app_serves_from_the_first_answer_after_the_last_failure() -> None:
    assert serves_s(SEEN, up_s=11.0) == 1.5
    assert serves_s(SEEN, up_s=13.0) == 0.0
    assert failed(SEEN) == 2


def test_an_app_that_nobody_asked_before_serves_from_its_first_answer() -> None:
    assert serves_s([(17.0, ""), (17.1, "")], up_s=10.0) == 7.0


def test_who_is_not_served_in_the_end_never_was() -> None:
    assert serves_s(SEEN[:3], up_s=10.0) is None
    assert serves_s([], up_s=10.0) is None


def test_a_row_holds_if_users_are_served_soon_and_nothing_started_anew() -> None:
    good = Row("host rebooted", "process", 100, 3, 4.9, kept=None, restarts=0)
    assert good.ok
    broken = (
        replace(good, serves_s=5.1),
        replace(good, serves_s=None),
        replace(good, kept=False),
        replace(good, restarts=1),
    )
    for row in broken:
        assert not row.ok and table([row]).endswith("NO")
