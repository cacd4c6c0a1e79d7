"""The repair tables that are shipped."""

from itertools import pairwise

import pytest

from fec import tables
from overlayd.model import repair
from overlayd.model.service import DEFAULT_CLASSES


@pytest.mark.parametrize("name", tables.OBJECTIVES)
def test_the_shipped_table_is_the_solved_one(name: str) -> None:
    assert getattr(repair, name.upper()) == tuple(tables.table(tables.OBJECTIVES[name]))


def test_rows_ascend_as_the_engine_wants_them() -> None:
    for service in DEFAULT_CLASSES:
        places = [(row.rounds, row.window, row.loss_ratio) for row in service.repair]
        assert all(before < after for before, after in pairwise(places))


def test_what_is_added_early_stays_within_the_cap() -> None:
    for service in DEFAULT_CLASSES:
        assert all(0 <= row.repair_ratio <= service.repair_cap_ratio for row in service.repair)
