"""The one error that clients raise, read back from the text that the server sent.

Flight has few status codes and pyarrow can send fewer. The server therefore writes ``code: message``, pyarrow adds its
own words around it, and this module takes them away again. What a caller should do (the kind) follows from the Flight
exception, or from the code where several kinds share one exception.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

import pyarrow as pa
import pyarrow.flight as fl


class ErrorKind(Enum):
    """What the caller of a failed operation should do; the same kinds as the server's."""

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


class LakehouseClientError(Exception):
    """An operation on the server failed.

    Args:
        code: stable identifier in snake case, such as ``dataset_not_found``.
        message: what happened, for a person.
        kind: what the caller should do.
    """

    def __init__(self, code: str, message: str, kind: ErrorKind) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.kind = kind

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


_KIND_OF_EXCEPTION: tuple[tuple[type[BaseException], ErrorKind], ...] = (
    (fl.FlightUnavailableError, ErrorKind.UNAVAILABLE),
    (fl.FlightUnauthenticatedError, ErrorKind.UNAUTHENTICATED),
    (fl.FlightUnauthorizedError, ErrorKind.PERMISSION_DENIED),
    (fl.FlightTimedOutError, ErrorKind.TIMEOUT),
    (fl.FlightCancelledError, ErrorKind.CANCELLED),
    (pa.ArrowCancelled, ErrorKind.CANCELLED),
    (pa.ArrowKeyError, ErrorKind.NOT_FOUND),
    (pa.ArrowNotImplementedError, ErrorKind.UNIMPLEMENTED),
    (pa.ArrowInvalid, ErrorKind.INVALID_ARGUMENT),
)

_KIND_OF_SERVER_CLASS = {
    "InvalidArgumentError": ErrorKind.INVALID_ARGUMENT,
    "NotFoundError": ErrorKind.NOT_FOUND,
    "UnimplementedError": ErrorKind.UNIMPLEMENTED,
    "UnauthenticatedError": ErrorKind.UNAUTHENTICATED,
    "PermissionDeniedError": ErrorKind.PERMISSION_DENIED,
    "TimedOutError": ErrorKind.TIMEOUT,
    "CancelledError": ErrorKind.CANCELLED,
    "UnavailableError": ErrorKind.UNAVAILABLE,
}
"""GetSchema loses the status of Flight errors, but not the name of the server's class."""

KIND_OF_CODE = {
    "dataset_already_exists": ErrorKind.ALREADY_EXISTS,
    "schema_already_exists": ErrorKind.ALREADY_EXISTS,
    "commit_conflict": ErrorKind.CONFLICT,
    "commit_contention": ErrorKind.CONFLICT,
    "epoch_expired": ErrorKind.CONFLICT,
    "schema_conflict": ErrorKind.CONFLICT,
    "schema_not_empty": ErrorKind.CONFLICT,
    "commit_outcome_unknown": ErrorKind.OUTCOME_UNKNOWN,
    "out_of_memory": ErrorKind.RESOURCE_EXHAUSTED,
    "server_busy": ErrorKind.RESOURCE_EXHAUSTED,
    "too_many_sessions": ErrorKind.RESOURCE_EXHAUSTED,
    "too_many_transactions": ErrorKind.RESOURCE_EXHAUSTED,
    "too_many_uploads": ErrorKind.RESOURCE_EXHAUSTED,
    "batch_too_large": ErrorKind.TOO_LARGE,
    "parameters_too_large": ErrorKind.TOO_LARGE,
    "row_too_large": ErrorKind.TOO_LARGE,
    "sql_too_large": ErrorKind.TOO_LARGE,
    "statement_too_complex": ErrorKind.TOO_LARGE,
    "too_many_datasets": ErrorKind.TOO_LARGE,
    "too_many_session_options": ErrorKind.TOO_LARGE,
}
"""Codes of the kinds that have no Flight exception of their own."""

_CODE_OF_KIND = {
    ErrorKind.UNAVAILABLE: "server_unreachable",
    ErrorKind.TIMEOUT: "deadline_exceeded",
    ErrorKind.CANCELLED: "cancelled",
    ErrorKind.UNAUTHENTICATED: "unauthenticated",
    ErrorKind.PERMISSION_DENIED: "permission_denied",
    ErrorKind.UNIMPLEMENTED: "not_implemented",
    ErrorKind.INVALID_ARGUMENT: "invalid_argument",
    ErrorKind.NOT_FOUND: "not_found",
}
"""The code of an error that did not come from our server: gRPC itself, or something between us."""

_PREFIX = re.compile(r"^(?:Flight returned [\w ]+ error, with message: |Unknown error: |Flight error: )+")
_SUFFIX = re.compile(
    r"(?:\. Detail: (?:Python exception: .*|Internal|TimedOut|Cancelled|Failed|Unauthenticated|Unauthorized|Unavailable))?"
    r"(?:\. gRPC client debug context: .*)?$",
    re.DOTALL,
)
_SERVER_CLASS = re.compile(r"Detail: Python exception: (\w+)")
_CODE = re.compile(r"([a-z][a-z0-9_]*): (.*)", re.DOTALL)


def client_error(error: BaseException, uri: str | None = None) -> LakehouseClientError:
    """Return what the server said by this exception of pyarrow, or that none answers at the address."""
    text = error.args[0] if error.args and isinstance(error.args[0], str) else str(error)
    said = _SUFFIX.sub("", _PREFIX.sub("", text), count=1)
    kind = _kind(error, text)
    match = _CODE.fullmatch(said)
    if match is None:
        if kind is ErrorKind.UNAVAILABLE and uri is not None:
            said = _why_unreachable(said, uri)
        return LakehouseClientError(_CODE_OF_KIND.get(kind, "internal_error"), said, kind)
    code, message = match.groups()
    return LakehouseClientError(code, message, KIND_OF_CODE.get(code, kind))


def _why_unreachable(said: str, uri: str) -> str:
    """Put what gRPC said into a sentence: its own words are for those who debug gRPC."""
    if "Expected SETTINGS frame" in said:
        return f'What answers at {uri} does not speak Flight: give the address that "lakehouse serve" prints as Flight.'
    if "Ssl handshake failed" in said:
        return f"What answers at {uri} does not speak TLS, or its certificate is not trusted."
    if said.startswith("errors resolving "):
        return f"The host of {uri} is not known."
    if said.startswith("failed to connect "):
        return f'No server answers at {uri}: start one with "lakehouse serve".'
    return f"The connection to {uri} broke: {said}."


def _kind(error: BaseException, text: str) -> ErrorKind:
    for exception, kind in _KIND_OF_EXCEPTION:
        if isinstance(error, exception):
            return kind
    server_class = _SERVER_CLASS.search(text)
    return _KIND_OF_SERVER_CLASS.get(server_class[1], ErrorKind.INTERNAL) if server_class else ErrorKind.INTERNAL


@contextmanager
def translated(uri: str | None = None) -> Iterator[None]:
    """Raise LakehouseClientError for whatever the Flight calls inside raise; the address is where they go."""
    try:
        yield
    except (pa.ArrowException, fl.FlightError) as error:
        raise client_error(error, uri) from None
