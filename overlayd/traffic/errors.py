"""Why traffic is not carried as it should be: errors that a person can act on. Pure."""


class TrafficError(Exception):
    """Part of what was wanted is not in force; what was in force before still is. The message says why."""
