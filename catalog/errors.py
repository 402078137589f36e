"""Every error that this project raises on purpose.

One class, few kinds. A kind says what the caller should do; a code says exactly what happened and never
changes its meaning once released. Messages are for people and may change.

    LakehouseError
      INVALID_ARGUMENT    change the request
      NOT_FOUND           the thing that the request names does not exist
      ALREADY_EXISTS      the name is taken
      CONFLICT            somebody else changed it first: read again, then repeat
      UNAUTHENTICATED     say who you are
      PERMISSION_DENIED   you may not
      UNIMPLEMENTED       we do not do this
      TOO_LARGE           a limit on size was passed: send or ask for less
      RESOURCE_EXHAUSTED  the server is full: wait, then repeat
      TIMEOUT             it took longer than allowed
      CANCELLED           the caller went away
      UNAVAILABLE         the store or the server cannot be reached: repeat
      OUTCOME_UNKNOWN     the commit may have landed: repeat with the same idempotency key
      INTERNAL            our bug
"""

from enum import Enum


class ErrorKind(Enum):
    """What the caller of a failed operation should do."""

    INVALID_ARGUMENT = "invalid_argument"
    NOT_FOUND = "not_found"
    ALREADY_EXISTS = "already_exists"
    CONFLICT = "conflict"
    UNAUTHENTICATED = "unauthenticated"
    PERMISSION_DENIED = "permission_denied"
    UNIMPLEMENTED = "unimplemented"
    TOO_LARGE = "too_large"
    RESOURCE_EXHAUSTED = "resource_exhausted"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    UNAVAILABLE = "unavailable"
    OUTCOME_UNKNOWN = "outcome_unknown"
    INTERNAL = "internal"


class LakehouseError(Exception):
    """An error with a kind and a stable code.

    Args:
        kind: what the caller should do.
        code: stable identifier in snake case, such as ``dataset_not_found``; documented in docs/errors.md.
        message: one or two sentences for a person; no server path, no traceback, no secret.
    """

    def __init__(self, kind: ErrorKind, code: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"
