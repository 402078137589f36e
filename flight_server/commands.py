"""The commands of Flight SQL as values: what the bytes of a descriptor ask for.

A field's name and order are the protocol's. Bytes that are no Flight SQL command are a *plain* command (SQL text, or a
JSON object), see ``plain_commands.py``. Decoding is strict: whatever leaves here is well-formed, if not sensible.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from catalog import ErrorKind, LakehouseError

from .plain_commands import PlainPut, PlainQuery, decode_plain_command
from .protocol import FLIGHT_PACKAGE, MESSAGES, SQL_PACKAGE, Message, new, pack, parse, unpack


class TableNotExist(IntEnum):
    """What an ingest does if its table does not exist."""

    UNSPECIFIED = 0
    CREATE = 1
    FAIL = 2


class TableExists(IntEnum):
    """What an ingest does if its table exists."""

    UNSPECIFIED = 0
    FAIL = 1
    APPEND = 2
    REPLACE = 3


@dataclass(frozen=True, slots=True)
class StatementQuery:
    """Run a query."""

    query: str
    transaction_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class StatementUpdate:
    """Run a statement with an effect."""

    query: str
    transaction_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class PreparedStatementQuery:
    """Run a prepared query; in DoPut: bind its parameters."""

    prepared_statement_handle: bytes


@dataclass(frozen=True, slots=True)
class PreparedStatementUpdate:
    """Run a prepared statement with an effect."""

    prepared_statement_handle: bytes


@dataclass(frozen=True, slots=True)
class StatementIngest:
    """Write the rows of a stream to a table. An UNSPECIFIED option never gets here."""

    table: str
    if_not_exist: TableNotExist
    if_exists: TableExists
    schema: str | None = None
    catalog: str | None = None
    temporary: bool = False
    transaction_id: bytes | None = None
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TicketStatementQuery:
    """Read the result of a query; travels in tickets only."""

    statement_handle: bytes


@dataclass(frozen=True, slots=True)
class GetCatalogs:
    """List the lakes."""


@dataclass(frozen=True, slots=True)
class GetDbSchemas:
    """List schemas. The catalog is exact, with "" for none and None for any; the pattern is one of LIKE."""

    catalog: str | None = None
    db_schema_filter_pattern: str | None = None


@dataclass(frozen=True, slots=True)
class GetTables:
    """List tables, filtered as schemas are."""

    catalog: str | None = None
    db_schema_filter_pattern: str | None = None
    table_name_filter_pattern: str | None = None
    table_types: tuple[str, ...] = ()
    include_schema: bool = False


@dataclass(frozen=True, slots=True)
class GetTableTypes:
    """List the types of tables."""


@dataclass(frozen=True, slots=True)
class GetSqlInfo:
    """Describe the server; no codes ask for all of them."""

    info: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class GetXdbcTypeInfo:
    """List the SQL types."""

    data_type: int | None = None


@dataclass(frozen=True, slots=True)
class GetPrimaryKeys:
    """List a table's primary key."""

    table: str
    catalog: str | None = None
    db_schema: str | None = None


@dataclass(frozen=True, slots=True)
class GetExportedKeys:
    """List the foreign keys that refer to a table."""

    table: str
    catalog: str | None = None
    db_schema: str | None = None


@dataclass(frozen=True, slots=True)
class GetImportedKeys:
    """List a table's foreign keys."""

    table: str
    catalog: str | None = None
    db_schema: str | None = None


@dataclass(frozen=True, slots=True)
class GetCrossReference:
    """List the foreign keys of one table that refer to another."""

    pk_table: str
    fk_table: str
    pk_catalog: str | None = None
    pk_db_schema: str | None = None
    fk_catalog: str | None = None
    fk_db_schema: str | None = None


MetadataCommand = (
    GetCatalogs
    | GetDbSchemas
    | GetTables
    | GetTableTypes
    | GetSqlInfo
    | GetXdbcTypeInfo
    | GetPrimaryKeys
    | GetExportedKeys
    | GetImportedKeys
    | GetCrossReference
)
SqlCommand = (
    StatementQuery
    | StatementUpdate
    | PreparedStatementQuery
    | PreparedStatementUpdate
    | StatementIngest
    | TicketStatementQuery
    | MetadataCommand
)
Command = SqlCommand | PlainQuery | PlainPut

_COMMANDS: dict[str, type[Any]] = {
    "CommandStatementQuery": StatementQuery,
    "CommandStatementUpdate": StatementUpdate,
    "CommandPreparedStatementQuery": PreparedStatementQuery,
    "CommandPreparedStatementUpdate": PreparedStatementUpdate,
    "TicketStatementQuery": TicketStatementQuery,
    "CommandGetCatalogs": GetCatalogs,
    "CommandGetDbSchemas": GetDbSchemas,
    "CommandGetTables": GetTables,
    "CommandGetTableTypes": GetTableTypes,
    "CommandGetSqlInfo": GetSqlInfo,
    "CommandGetXdbcTypeInfo": GetXdbcTypeInfo,
    "CommandGetPrimaryKeys": GetPrimaryKeys,
    "CommandGetExportedKeys": GetExportedKeys,
    "CommandGetImportedKeys": GetImportedKeys,
    "CommandGetCrossReference": GetCrossReference,
}
"""The commands whose fields are those of their message."""

_NAMES = {command: name for name, command in _COMMANDS.items()}
_TYPE_URL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_FLIGHT_MARK = f"/{FLIGHT_PACKAGE}.".encode()
_MARK_REACH = 128


def fields_of(message: Message, command: type[Any]) -> dict[str, Any]:
    """Return a message's values for the fields of a dataclass: None where presence says so, lists as tuples."""
    values: dict[str, Any] = {}
    for name in (field.name for field in dataclasses.fields(command)):
        descriptor = message.DESCRIPTOR.fields_by_name[name]
        value = getattr(message, name)
        if descriptor.has_presence and not message.HasField(name):
            value = None
        elif descriptor.is_repeated:
            value = tuple(value)
        values[name] = value
    return values


def _unset(name: str) -> LakehouseError:
    message = f"The ingest must set {name} to a known value."
    return LakehouseError(ErrorKind.INVALID_ARGUMENT, "malformed_command", message)


def _decode_ingest(message: Message) -> StatementIngest:
    options = message.table_definition_options
    if not message.table:
        raise LakehouseError(ErrorKind.INVALID_ARGUMENT, "malformed_command", "The ingest names no table.")
    if options.if_not_exist not in (TableNotExist.CREATE, TableNotExist.FAIL):
        raise _unset("if_not_exist")
    if options.if_exists not in (TableExists.FAIL, TableExists.APPEND, TableExists.REPLACE):
        raise _unset("if_exists")
    return StatementIngest(
        table=message.table,
        if_not_exist=TableNotExist(options.if_not_exist),
        if_exists=TableExists(options.if_exists),
        schema=message.schema if message.HasField("schema") else None,
        catalog=message.catalog if message.HasField("catalog") else None,
        temporary=message.temporary,
        transaction_id=message.transaction_id if message.HasField("transaction_id") else None,
        options=dict(message.options),
    )


def unsupported(full_name: str) -> LakehouseError:
    """Make the error for a message that is well-formed but that this server does not serve."""
    short = full_name.rpartition(".")[2]
    return LakehouseError(
        ErrorKind.UNIMPLEMENTED, "unsupported_command", f"This server does not support {short[:100]}."
    )


def _is_type_name(full_name: str) -> bool:
    return _TYPE_URL_NAME.fullmatch(full_name) is not None


def decode_command(data: bytes) -> Command:
    """Decode the command of a descriptor, or the content of a ticket that is a Flight SQL command.

    Raises:
        LakehouseError: ``malformed_command``, ``unsupported_command``.
    """
    opened = unpack(data)
    if opened is None or not _is_type_name(opened[0]):
        if _FLIGHT_MARK in data[:_MARK_REACH]:
            raise LakehouseError(
                ErrorKind.INVALID_ARGUMENT, "malformed_command", "The Flight SQL command is cut short."
            )
        return decode_plain_command(data)
    full_name, value = opened
    package, _, name = full_name.rpartition(".")
    if package != SQL_PACKAGE or name not in MESSAGES:
        raise unsupported(full_name)
    message = parse(name, value)
    if name == "CommandStatementIngest":
        return _decode_ingest(message)
    if name not in _COMMANDS:
        raise unsupported(full_name)
    command: Command = _COMMANDS[name](**fields_of(message, _COMMANDS[name]))
    return command


def encode_command(command: SqlCommand) -> bytes:
    """Encode a command of Flight SQL, as descriptors and tickets carry it."""
    if isinstance(command, StatementIngest):
        return _encode_ingest(command)
    values = {field.name: getattr(command, field.name) for field in dataclasses.fields(command)}
    return pack(new(_NAMES[type(command)], **values))


def _encode_ingest(command: StatementIngest) -> bytes:
    message = new(
        "CommandStatementIngest",
        table=command.table,
        schema=command.schema,
        catalog=command.catalog,
        temporary=command.temporary,
        transaction_id=command.transaction_id,
        options=dict(command.options),
    )
    message.table_definition_options.if_not_exist = command.if_not_exist
    message.table_definition_options.if_exists = command.if_exists
    return pack(message)


def encode_update_result(record_count: int) -> bytes:
    """Encode the answer to an update or ingest: the rows that it touched, or -1 if that is unknown."""
    return bytes(new("DoPutUpdateResult", record_count=record_count).SerializeToString())


def encode_bind_result(prepared_statement_handle: bytes) -> bytes:
    """Encode the answer to bound parameters: the handle to go on with, always set."""
    message = new("DoPutPreparedStatementResult", prepared_statement_handle=prepared_statement_handle)
    return bytes(message.SerializeToString())
