"""Why a process of an edge host could not start: errors that a person can act on. Pure."""


class StartError(Exception):
    """The process cannot run as things are; the message says what has to change. Nothing was left behind.

    ``exit_code``: 2, what was asked for is wrong and trying again is useless; 1, trying again may help.
    """

    exit_code = 1


class ConfigurationError(StartError):
    """The configuration is wrong: where it comes from, the key, what it is and what would be right."""

    exit_code = 2

    def __init__(self, source: str, key: str, problem: str) -> None:
        super().__init__(f"{source}: {key}: {problem}" if key else f"{source}: {problem}")
        self.source = source
        self.key = key
        self.problem = problem
