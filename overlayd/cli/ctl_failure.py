"""Why a command of ``overlayctl`` failed, with its exit code. Pure."""

OK, FAILED, USAGE, UNREACHABLE, NOT_FOUND, DENIED, DEGRADED, CONFLICT, TIMEOUT = 0, 1, 2, 3, 4, 5, 6, 7, 124

EXIT_CODES = {
    "usage": USAGE,
    "unreachable": UNREACHABLE,
    "not-found": NOT_FOUND,
    "denied": DENIED,
    "degraded": DEGRADED,
    "conflict": CONFLICT,
    "timeout": TIMEOUT,
}
"""Exit code by the code of a problem that an agent names; any other is :data:`FAILED`."""


class Failure(Exception):
    """Ends the command: one line for stderr and an exit code."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code
