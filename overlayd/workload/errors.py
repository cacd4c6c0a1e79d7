"""What goes wrong between this unit and the controller. Each leaves everything here as it was."""


class Unreachable(Exception):
    """No controller answered."""


class Refused(Exception):
    """The controller said no. ``code`` is that of HTTP, ``reason`` Kubernetes' word for it."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class LogProblem(Exception):
    """There is no such log; the text is for who asked for it."""
