"""Settings of property tests: no deadlines, and repeatable examples in continuous integration.

A slow or shared machine must not fail a test, so no example is timed. With `CI` set, examples are derived
from the test's name: a red run is red again for whoever looks into it.
"""

import os

from hypothesis import settings

settings.register_profile("developer", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "developer")
