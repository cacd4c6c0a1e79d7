"""Fixtures of tests that make network namespaces."""

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is to be taken away at the end of a test. Fails without root."""
    if os.geteuid() != 0:
        pytest.fail("makes network namespaces: run as root")
    with ExitStack() as stack:
        yield stack
