"""The actions of Flight SQL and of Flight's sessions as values, and the bytes of their answers.

Bodies of the Flight SQL actions are wrapped in google.protobuf.Any, those of the session and cancel actions are bare.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import pyarrow as pa

from catalog import ErrorKind, LakehouseError

from .commands import fields_of, unsupported
from .plain_commands import decode_json
from .protocol import SQL_PACKAGE, Message, new, pack, parse, unpack

SessionOption = str | bool | int | float | tuple[str, ...]
"""The value of a session option."""


class EndTransactionAction(IntEnum):
    """How a transaction ends."""

    UNSPECIFIED = 0
    COMMIT = 1
    ROLLBACK = 2


class CancelStatus(IntEnum):
    """What became of a request to cancel; CancelResult of the older action has the same numbers."""

    UNSPECIFIED = 0
    CANCELLED = 1
    CANCELLING = 2
    NOT_CANCELLABLE = 3


class SetOptionError(IntEnum):
    """Why a session option was not set."""

    UNSPECIFIED = 0
    INVALID_NAME = 1
    INVALID_VALUE = 2
    ERROR = 3


class CloseStatus(IntEnum):
    """What became of a request to close the session."""

    UNSPECIFIED = 0
    CLOSED = 1
    CLOSING = 2
    NOT_CLOSEABLE = 3


@dataclass(frozen=True, slots=True)
class CreatePreparedStatement:
    """Prepare a statement."""

    query: str
    transaction_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class ClosePreparedStatement:
    """Forget a prepared statement."""

    prepared_statement_handle: bytes


@dataclass(frozen=True, slots=True)
class BeginTransaction:
    """Open a transaction."""


@dataclass(frozen=True, slots=True)
class EndTransaction:
    """Commit or roll back a transaction. ``action`` is never UNSPECIFIED."""

    transaction_id: bytes
    action: EndTransactionAction


@dataclass(frozen=True, slots=True)
class CancelFlightInfo:
    """Cancel what a serialized FlightInfo of ours stands for. ``legacy`` asks for the answer of CancelQuery."""

    info: bytes
    legacy: bool = False


@dataclass(frozen=True, slots=True)
class RenewFlightEndpoint:
    """Let a serialized FlightEndpoint of ours live longer."""

    endpoint: bytes


@dataclass(frozen=True, slots=True)
class SetSessionOptions:
    """Set options of the session; None unsets one."""

    options: Mapping[str, SessionOption | None]


@dataclass(frozen=True, slots=True)
class GetSessionOptions:
    """Read the options of the session."""


@dataclass(frozen=True, slots=True)
class CloseSession:
    """End the session."""


@dataclass(frozen=True, slots=True)
class PlainAction:
    """An action of ours: ``lakehouse.`` and a name, with a JSON object."""

    name: str
    arguments: Mapping[str, Any]


Action = (
    CreatePreparedStatement
    | ClosePreparedStatement
    | BeginTransaction
    | EndTransaction
    | CancelFlightInfo
    | RenewFlightEndpoint
    | SetSessionOptions
    | GetSessionOptions
    | CloseSession
    | PlainAction
)

PLAIN_PREFIX = "lakehouse."

FLIGHT_SQL_ACTIONS: dict[str, str] = {
    "CreatePreparedStatement": "Prepare a statement: ActionCreatePreparedStatementRequest.",
    "ClosePreparedStatement": "Forget a prepared statement: ActionClosePreparedStatementRequest.",
    "BeginTransaction": "Open a transaction: ActionBeginTransactionRequest.",
    "EndTransaction": "Commit or roll back a transaction: ActionEndTransactionRequest.",
    "CancelQuery": "Cancel a query (deprecated): ActionCancelQueryRequest.",
    "CancelFlightInfo": "Cancel a query: CancelFlightInfoRequest.",
    "RenewFlightEndpoint": "Let a ticket live longer: RenewFlightEndpointRequest.",
    "SetSessionOptions": "Set options of the session: SetSessionOptionsRequest.",
    "GetSessionOptions": "Read the options of the session: GetSessionOptionsRequest.",
    "CloseSession": "End the session: CloseSessionRequest.",
}
"""The standard actions that :func:`decode_action` knows, with the text that ListActions gives."""

_UNSUPPORTED = ("CreatePreparedSubstraitPlan", "BeginSavepoint", "EndSavepoint")


def _open(name: str, body: bytes) -> Message:
    opened = unpack(body)
    if opened is None or opened[0] != f"{SQL_PACKAGE}.{name}":
        raise LakehouseError(
            ErrorKind.INVALID_ARGUMENT, "malformed_command", f"The body of the action must be an Any of {name}."
        )
    return parse(name, opened[1])


def _decode_end(message: Message) -> EndTransaction:
    if message.action not in (EndTransactionAction.COMMIT, EndTransactionAction.ROLLBACK):
        raise LakehouseError(
            ErrorKind.INVALID_ARGUMENT, "malformed_command", "The action of EndTransaction must be commit or rollback."
        )
    return EndTransaction(message.transaction_id, EndTransactionAction(message.action))


def _decode_set_options(message: Message) -> SetSessionOptions:
    return SetSessionOptions({name: _decode_option(value) for name, value in message.session_options.items()})


def _decode_option(message: Message) -> SessionOption | None:
    kind = message.WhichOneof("option_value")
    if kind is None:
        return None
    if kind == "string_list_value":
        return tuple(message.string_list_value.values)
    value: SessionOption = getattr(message, kind)
    return value


_DECODERS: dict[str, tuple[str, Callable[[Message], Action]]] = {
    "CreatePreparedStatement": (
        "ActionCreatePreparedStatementRequest",
        lambda message: CreatePreparedStatement(**fields_of(message, CreatePreparedStatement)),
    ),
    "ClosePreparedStatement": (
        "ActionClosePreparedStatementRequest",
        lambda message: ClosePreparedStatement(message.prepared_statement_handle),
    ),
    "BeginTransaction": ("ActionBeginTransactionRequest", lambda _: BeginTransaction()),
    "EndTransaction": ("ActionEndTransactionRequest", _decode_end),
    "CancelQuery": ("ActionCancelQueryRequest", lambda message: CancelFlightInfo(message.info, legacy=True)),
    "CancelFlightInfo": ("CancelFlightInfoRequest", lambda message: CancelFlightInfo(message.info)),
    "RenewFlightEndpoint": ("RenewFlightEndpointRequest", lambda message: RenewFlightEndpoint(message.endpoint)),
    "SetSessionOptions": ("SetSessionOptionsRequest", _decode_set_options),
    "GetSessionOptions": ("GetSessionOptionsRequest", lambda _: GetSessionOptions()),
    "CloseSession": ("CloseSessionRequest", lambda _: CloseSession()),
}
"""The request message of each action, and what makes it a value. Those that begin with "Action" come in an Any."""


def decode_action(action_type: str, body: bytes) -> Action:
    """Decode an action.

    Raises:
        LakehouseError: ``malformed_command``, ``unsupported_command``, ``unknown_action``.
    """
    if action_type.startswith(PLAIN_PREFIX):
        return PlainAction(action_type.removeprefix(PLAIN_PREFIX), decode_json(body))
    if action_type in _UNSUPPORTED:
        raise unsupported(action_type)
    if action_type not in _DECODERS:
        raise LakehouseError(
            ErrorKind.UNIMPLEMENTED, "unknown_action", f"This server has no action {action_type[:100]!r}."
        )
    name, decode = _DECODERS[action_type]
    return decode(_open(name, body) if name.startswith("Action") else parse(name, body))


def _encode_option(value: SessionOption) -> Message:
    match value:
        case bool():
            return new("SessionOptionValue", bool_value=value)
        case str():
            return new("SessionOptionValue", string_value=value)
        case int():
            return new("SessionOptionValue", int64_value=value)
        case float():
            return new("SessionOptionValue", double_value=value)
    return new("SessionOptionValue", string_list_value=new("SessionOptionValue.StringListValue", values=value))


@dataclass(frozen=True, slots=True)
class PreparedStatement:
    """The answer to CreatePreparedStatement.

    Attributes:
        dataset_schema: of the rows that it returns; None for a statement with an effect.
        parameter_schema: a field per parameter; None or without fields when there are none.
        is_update: whether the client should run it as an update; always set, or old drivers guess.
    """

    handle: bytes
    dataset_schema: pa.Schema | None
    parameter_schema: pa.Schema | None
    is_update: bool


def encode_prepared_statement(prepared: PreparedStatement) -> bytes:
    """Encode the answer to CreatePreparedStatement."""
    message = new(
        "ActionCreatePreparedStatementResult",
        prepared_statement_handle=prepared.handle,
        dataset_schema=schema_bytes(prepared.dataset_schema),
        parameter_schema=schema_bytes(prepared.parameter_schema),
        is_update=prepared.is_update,
    )
    return pack(message)


def schema_bytes(schema: pa.Schema | None) -> bytes:
    """Return a schema as one encapsulated IPC message; empty bytes (not provided) for None."""
    return b"" if schema is None else bytes(schema.serialize().to_pybytes())


def encode_begin_transaction(transaction_id: bytes) -> bytes:
    """Encode the answer to BeginTransaction."""
    return pack(new("ActionBeginTransactionResult", transaction_id=transaction_id))


def encode_cancel(status: CancelStatus, action: CancelFlightInfo) -> bytes:
    """Encode the answer to CancelFlightInfo, or to CancelQuery."""
    if action.legacy:
        return pack(new("ActionCancelQueryResult", result=int(status)))
    return bytes(new("CancelFlightInfoResult", status=int(status)).SerializeToString())


def encode_set_session_options(errors: Mapping[str, SetOptionError]) -> bytes:
    """Encode the answer to SetSessionOptions: failures only."""
    values = {name: new("SetSessionOptionsResult.Error", value=int(error)) for name, error in errors.items()}
    return bytes(new("SetSessionOptionsResult", errors=values).SerializeToString(deterministic=True))


def encode_get_session_options(options: Mapping[str, SessionOption]) -> bytes:
    """Encode the answer to GetSessionOptions."""
    values = {name: _encode_option(value) for name, value in options.items()}
    return bytes(new("GetSessionOptionsResult", session_options=values).SerializeToString(deterministic=True))


def encode_close_session(status: CloseStatus = CloseStatus.CLOSED) -> bytes:
    """Encode the answer to CloseSession."""
    return bytes(new("CloseSessionResult", status=int(status)).SerializeToString())
