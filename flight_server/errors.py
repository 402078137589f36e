"""The only place that raises to the wire.

pyarrow turns a Python exception into a gRPC status by its type, and adds the traceback, with our paths, to the message:
always for classes that are not Flight errors (and NOT_FOUND, INVALID_ARGUMENT and UNIMPLEMENTED have none), in
``get_schema`` and behind a RecordBatchReader for Flight errors too. So everything that we send is a *quiet* class: pyarrow
formats the traceback with the ``traceback`` module, which reads ``__cause__``; that read raises here, and pyarrow falls
back to the message and the name of the class. Where it does not know Flight errors, their code becomes UNKNOWN.

What a client sees is ``code: message``; the code is the contract, the rest of the text is for people.
"""

import functools
import logging
import re
import secrets
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeVar, cast

import pyarrow as pa
import pyarrow.flight as fl

from catalog import ErrorKind, LakehouseError

MESSAGE_BYTES = 2000
"""Longest text on the wire. It travels in a header at least twice, and clients refuse headers from 8 KiB on."""

CODE_TRAILER = "x-lakehouse-code"

_LOG = logging.getLogger(__name__)
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")

_Method = TypeVar("_Method", bound=Callable[..., Any])
_Item = TypeVar("_Item")


class _QuietError(Exception):
    """Base of the exceptions whose traceback cannot be formatted, so that pyarrow sends their message alone."""

    def __str__(self) -> str:
        return str(self.args[0])

    @property
    def __cause__(self) -> BaseException | None:
        raise AttributeError("no cause to show")

    @__cause__.setter
    def __cause__(self, _: BaseException | None) -> None:
        """Take what ``raise … from`` gives and forget it."""


class InvalidArgumentError(_QuietError, ValueError):
    """INVALID_ARGUMENT."""


class NotFoundError(_QuietError, KeyError):
    """NOT_FOUND."""


class UnimplementedError(_QuietError, NotImplementedError):
    """UNIMPLEMENTED."""


class UnauthenticatedError(_QuietError, fl.FlightUnauthenticatedError):  # type: ignore[misc]
    """UNAUTHENTICATED."""


class PermissionDeniedError(_QuietError, fl.FlightUnauthorizedError):  # type: ignore[misc]
    """PERMISSION_DENIED."""


class TimedOutError(_QuietError, fl.FlightTimedOutError):  # type: ignore[misc]
    """DEADLINE_EXCEEDED."""


class CancelledError(_QuietError, fl.FlightCancelledError):  # type: ignore[misc]
    """CANCELLED."""


class UnavailableError(_QuietError, fl.FlightUnavailableError):  # type: ignore[misc]
    """UNAVAILABLE."""


class InternalError(_QuietError, fl.FlightInternalError):  # type: ignore[misc]
    """INTERNAL."""


WIRE_ERRORS: dict[ErrorKind, type[_QuietError]] = {
    ErrorKind.INVALID_ARGUMENT: InvalidArgumentError,
    ErrorKind.NOT_FOUND: NotFoundError,
    # gRPC has better codes for the next three, but pyarrow cannot send them: clients tell them by our code.
    ErrorKind.ALREADY_EXISTS: InvalidArgumentError,
    ErrorKind.CONFLICT: InvalidArgumentError,
    ErrorKind.TOO_LARGE: InvalidArgumentError,
    ErrorKind.UNAUTHENTICATED: UnauthenticatedError,
    ErrorKind.PERMISSION_DENIED: PermissionDeniedError,
    ErrorKind.UNIMPLEMENTED: UnimplementedError,
    ErrorKind.RESOURCE_EXHAUSTED: UnavailableError,
    ErrorKind.TIMEOUT: TimedOutError,
    ErrorKind.CANCELLED: CancelledError,
    ErrorKind.UNAVAILABLE: UnavailableError,
    ErrorKind.OUTCOME_UNKNOWN: UnavailableError,
    ErrorKind.INTERNAL: InternalError,
}
"""The class that carries each kind."""


def wire_text(error: LakehouseError) -> str:
    """Return ``code: message`` without control characters (but for line ends) and at most MESSAGE_BYTES long."""
    text = _CONTROL_CHARACTERS.sub(" ", str(error)).removesuffix(".")  # pyarrow puts one after it
    data = text.encode()
    if len(data) <= MESSAGE_BYTES:
        return text
    return data[: MESSAGE_BYTES - len("…".encode())].decode(errors="ignore") + "…"


def known_error(error: BaseException, rpc: str) -> LakehouseError:
    """Return the error itself, or what may be told of an error that nobody expected; its details go to our log."""
    if isinstance(error, LakehouseError):
        return error
    if isinstance(error, pa.ArrowCancelled):
        return LakehouseError(ErrorKind.CANCELLED, "cancelled", "The call was cancelled.")
    error_id = secrets.token_hex(8)
    _LOG.error("internal error in %s, id=%s", rpc, error_id, exc_info=error, extra={"rpc": rpc, "error_id": error_id})
    if isinstance(error, MemoryError):
        return LakehouseError(
            ErrorKind.RESOURCE_EXHAUSTED, "out_of_memory", f"The server is out of memory; id={error_id}"
        )
    return LakehouseError(
        ErrorKind.INTERNAL, "internal_error", f"The server failed, and its log says why; id={error_id}"
    )


def wire_error(error: BaseException, context: fl.ServerCallContext | None = None, *, rpc: str = "rpc") -> Exception:
    """Translate an error for the wire; the caller raises it, within the call that the context belongs to."""
    if isinstance(error, _QuietError):
        return error
    known = known_error(error, rpc)
    if context is not None:
        context.add_trailer(CODE_TRAILER, known.code)
    return WIRE_ERRORS[known.kind](wire_text(known))


def guarded(
    items: Iterable[_Item], context: fl.ServerCallContext | None = None, *, rpc: str = "rpc"
) -> Generator[_Item, None, None]:
    """Yield the items; an error after any of them keeps its code. Closes the items' generator when it is closed.

    Use it inside GeneratorStream: behind a RecordBatchReader, pyarrow turns half of the codes into UNKNOWN.
    """
    try:
        yield from items
    except GeneratorExit:
        raise
    except BaseException as error:  # noqa: BLE001 (nothing may pass)
        raise wire_error(error, context, rpc=rpc) from None


def rpc(method: _Method) -> _Method:
    """Decorate an RPC method of the server (self, context, …) so that only wire errors leave it.

    A method that returns an iterator (or is a generator) is guarded to the iterator's end.
    """
    name = getattr(method, "__name__", "rpc")

    @functools.wraps(method)
    def call(self: Any, context: fl.ServerCallContext, *args: Any, **kwargs: Any) -> Any:
        try:
            result = method(self, context, *args, **kwargs)
        except BaseException as error:  # noqa: BLE001 (nothing may pass)
            raise wire_error(error, context, rpc=name) from None
        return guarded(result, context, rpc=name) if isinstance(result, Iterator) else result

    return cast("_Method", call)
