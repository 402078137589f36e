"""The protobuf messages of Flight SQL, and our own, as classes.

They are built here from their field tables, in a descriptor pool of our own: generated modules would register names in
the process's pool that other libraries register too, which is an error. Enums are declared as int32 and embedded Flight
messages as bytes, which is the same on the wire. ``commands.py`` and ``actions.py`` give the values names and types.
"""

from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from catalog import ErrorKind, LakehouseError

Message = Any
"""A protobuf message; its class is made at run time, so the type checker knows nothing of it."""

SQL_PACKAGE = "arrow.flight.protocol.sql"
FLIGHT_PACKAGE = "arrow.flight.protocol"
OWN_PACKAGE = "lakehouse.v1"

# One line per field: "name=number type"; a type is a scalar, the name of a message above, or map<key,value>; "optional"
# is proto3's optional (with presence), "repeated" a list, "oneof:NAME" a member of that oneof.
_SQL_MESSAGES: dict[str, tuple[str, ...]] = {
    "CommandGetSqlInfo": ("info=1 uint32 repeated",),
    "CommandGetXdbcTypeInfo": ("data_type=1 int32 optional",),
    "CommandGetCatalogs": (),
    "CommandGetDbSchemas": ("catalog=1 string optional", "db_schema_filter_pattern=2 string optional"),
    "CommandGetTables": (
        "catalog=1 string optional",
        "db_schema_filter_pattern=2 string optional",
        "table_name_filter_pattern=3 string optional",
        "table_types=4 string repeated",
        "include_schema=5 bool",
    ),
    "CommandGetTableTypes": (),
    "CommandGetPrimaryKeys": ("catalog=1 string optional", "db_schema=2 string optional", "table=3 string"),
    "CommandGetExportedKeys": ("catalog=1 string optional", "db_schema=2 string optional", "table=3 string"),
    "CommandGetImportedKeys": ("catalog=1 string optional", "db_schema=2 string optional", "table=3 string"),
    "CommandGetCrossReference": (
        "pk_catalog=1 string optional",
        "pk_db_schema=2 string optional",
        "pk_table=3 string",
        "fk_catalog=4 string optional",
        "fk_db_schema=5 string optional",
        "fk_table=6 string",
    ),
    "SubstraitPlan": ("plan=1 bytes", "version=2 string"),
    "CommandStatementQuery": ("query=1 string", "transaction_id=2 bytes optional"),
    "CommandStatementSubstraitPlan": ("plan=1 SubstraitPlan", "transaction_id=2 bytes optional"),
    "CommandPreparedStatementQuery": ("prepared_statement_handle=1 bytes",),
    "CommandStatementUpdate": ("query=1 string", "transaction_id=2 bytes optional"),
    "CommandPreparedStatementUpdate": ("prepared_statement_handle=1 bytes",),
    "CommandStatementIngest.TableDefinitionOptions": ("if_not_exist=1 int32", "if_exists=2 int32"),
    "CommandStatementIngest": (
        "table_definition_options=1 CommandStatementIngest.TableDefinitionOptions",
        "table=2 string",
        "schema=3 string optional",
        "catalog=4 string optional",
        "temporary=5 bool",
        "transaction_id=6 bytes optional",
        "options=1000 map<string,string>",
    ),
    "TicketStatementQuery": ("statement_handle=1 bytes",),
    "DoPutUpdateResult": ("record_count=1 int64",),
    "DoPutPreparedStatementResult": ("prepared_statement_handle=1 bytes optional",),
    "ActionCreatePreparedStatementRequest": ("query=1 string", "transaction_id=2 bytes optional"),
    "ActionCreatePreparedSubstraitPlanRequest": ("plan=1 SubstraitPlan", "transaction_id=2 bytes optional"),
    "ActionCreatePreparedStatementResult": (
        "prepared_statement_handle=1 bytes",
        "dataset_schema=2 bytes",
        "parameter_schema=3 bytes",
        "is_update=4 bool optional",
    ),
    "ActionClosePreparedStatementRequest": ("prepared_statement_handle=1 bytes",),
    "ActionBeginTransactionRequest": (),
    "ActionBeginTransactionResult": ("transaction_id=1 bytes",),
    "ActionEndTransactionRequest": ("transaction_id=1 bytes", "action=2 int32"),
    "ActionBeginSavepointRequest": ("transaction_id=1 bytes", "name=2 string"),
    "ActionBeginSavepointResult": ("savepoint_id=1 bytes",),
    "ActionEndSavepointRequest": ("savepoint_id=1 bytes", "action=2 int32"),
    "ActionCancelQueryRequest": ("info=1 bytes",),
    "ActionCancelQueryResult": ("result=1 int32",),
}

_FLIGHT_MESSAGES: dict[str, tuple[str, ...]] = {
    "CancelFlightInfoRequest": ("info=1 bytes",),
    "CancelFlightInfoResult": ("status=1 int32",),
    "RenewFlightEndpointRequest": ("endpoint=1 bytes",),
    "SessionOptionValue.StringListValue": ("values=1 string repeated",),
    "SessionOptionValue": (
        "string_value=1 string oneof:option_value",
        "bool_value=2 bool oneof:option_value",
        "int64_value=3 sfixed64 oneof:option_value",
        "double_value=4 double oneof:option_value",
        "string_list_value=5 SessionOptionValue.StringListValue oneof:option_value",
    ),
    "SetSessionOptionsRequest": ("session_options=1 map<string,SessionOptionValue>",),
    "SetSessionOptionsResult.Error": ("value=1 int32",),
    "SetSessionOptionsResult": ("errors=1 map<string,SetSessionOptionsResult.Error>",),
    "GetSessionOptionsRequest": (),
    "GetSessionOptionsResult": ("session_options=1 map<string,SessionOptionValue>",),
    "CloseSessionRequest": (),
    "CloseSessionResult": ("status=1 int32",),
}

_OWN_MESSAGES: dict[str, tuple[str, ...]] = {
    "StatementTicket": (
        "sql=1 string",
        "parameters=2 bytes optional",
        "snapshots=3 map<string,uint64>",
        "catalog=4 string",
        "schema=5 string",
        "principal=6 string",
        "format=7 string optional",
        "transaction_id=8 bytes optional",
        "expires_at=9 sfixed64",
        "nonce=10 bytes",
    ),
    "PreparedHandle": (
        "sql=1 string",
        "is_update=2 bool",
        "transaction_id=3 bytes optional",
        "parameters=4 bytes optional",
        "principal=5 string",
        "expires_at=6 sfixed64",
    ),
}

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "double": _Field.TYPE_DOUBLE,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "sfixed64": _Field.TYPE_SFIXED64,
    "string": _Field.TYPE_STRING,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
}


def _set_type(field: Message, kind: str, package: str) -> None:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{package}.{kind}"


def _add_map_entry(message: Message, field: Message, kinds: str, package: str, owner: str) -> None:
    entry_name = "".join(part.capitalize() for part in field.name.split("_")) + "Entry"
    entry = message.nested_type.add(name=entry_name)
    entry.options.map_entry = True
    for number, (name, kind) in enumerate(zip(("key", "value"), kinds.split(","), strict=True), start=1):
        part = entry.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
        _set_type(part, kind, package)
    field.label = _Field.LABEL_REPEATED
    field.type = _Field.TYPE_MESSAGE
    field.type_name = f".{package}.{owner}.{entry_name}"


def _add_field(message: Message, line: str, package: str, owner: str) -> None:
    declared, kind, *flags = line.split(" ")
    name, number = declared.split("=")
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if kind.startswith("map<"):
        _add_map_entry(message, field, kind[len("map<") : -1], package, owner)
        return
    _set_type(field, kind, package)
    for flag in flags:
        if flag == "repeated":
            field.label = _Field.LABEL_REPEATED
            continue
        # proto3's optional is a oneof with one member.
        oneof = f"_{name}" if flag == "optional" else flag.removeprefix("oneof:")
        field.proto3_optional = flag == "optional"
        names = [declaration.name for declaration in message.oneof_decl]
        if oneof not in names:
            message.oneof_decl.add(name=oneof)
            names.append(oneof)
        field.oneof_index = names.index(oneof)


def _file(package: str, messages: dict[str, tuple[str, ...]]) -> Message:
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    made: dict[str, Message] = {}
    for name in sorted(messages, key=lambda name: name.count(".")):  # the outer before the nested
        outer, _, inner = name.rpartition(".")
        made[name] = made[outer].nested_type.add(name=inner) if outer else file.message_type.add(name=inner)
    for name, lines in messages.items():
        for line in lines:
            _add_field(made[name], line, package, name)
    return file


def _classes() -> dict[str, type[Message]]:
    pool = descriptor_pool.DescriptorPool()
    classes: dict[str, type[Message]] = {}
    packages = ((SQL_PACKAGE, _SQL_MESSAGES), (FLIGHT_PACKAGE, _FLIGHT_MESSAGES), (OWN_PACKAGE, _OWN_MESSAGES))
    for package, messages in packages:
        pool.Add(_file(package, messages))
        for name in messages:
            descriptor = pool.FindMessageTypeByName(f"{package}.{name}")
            classes[name] = message_factory.GetMessageClass(descriptor)
    return classes


MESSAGES: dict[str, type[Message]] = _classes()
"""Every message class by its name without the package."""


def new(name: str, **fields: Any) -> Message:
    """Make a message; a field that is None stays unset."""
    return MESSAGES[name](**{field: value for field, value in fields.items() if value is not None})


def parse(name: str, data: bytes) -> Message:
    """Parse a bare message. Raises LakehouseError (``malformed_command``)."""
    message = MESSAGES[name]()
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise LakehouseError(
            ErrorKind.INVALID_ARGUMENT, "malformed_command", f"The bytes are not a valid {name} message."
        ) from None
    return message


def pack(message: Message) -> bytes:
    """Serialize a message inside a google.protobuf.Any."""
    envelope = any_pb2.Any()
    envelope.Pack(message)
    return bytes(envelope.SerializeToString(deterministic=True))


def unpack(data: bytes) -> tuple[str, bytes] | None:
    """Open a google.protobuf.Any: the full name of the message in it, and its bytes. None if it is not an Any."""
    envelope = any_pb2.Any()
    try:
        envelope.ParseFromString(data)
    except DecodeError:
        return None
    _, slash, full_name = envelope.type_url.rpartition("/")
    return (full_name, envelope.value) if slash and full_name else None
