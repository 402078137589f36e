"""How a command ends: its exit code, and one sentence when it fails."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the exit code of every ``lakehouse`` command means."""

    OK = 0
    ERROR = 1
    """The server or the store answered, with an error."""
    USAGE = 2
    """The command line, the settings or the environment are wrong; nothing was done."""
    UNREACHABLE = 3
    """The server or the store could not be reached; the same command may work later."""
    OUTCOME_UNKNOWN = 4
    """The commit may have landed: repeat with the same idempotency key."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C."""


class CommandError(Exception):
    """A command failed for a reason that its user can understand.

    Args:
        message: one sentence or two; it is printed as it is.
        exit_code: how the process ends.
    """

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.ERROR) -> None:
        super().__init__(message)
        self.exit_code = exit_code
