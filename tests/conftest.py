"""What holds for all tests: settings of property tests, and a log that each test leaves as it was.

Property tests have no deadlines, and repeatable examples in continuous integration. A slow or shared machine
must not fail a test, so no example is timed. With `CI` set, examples are derived from the test's name: a red
run is red again for whoever looks into it.
"""

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("developer", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "developer")


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """A process sets its log up for good. A test that has one do so would leave all later tests a handler to
    a stream that is closed by then, which fails in whatever of theirs logs.
    """
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
