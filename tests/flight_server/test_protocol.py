import pytest
from google.protobuf import any_pb2

from catalog import LakehouseError
from flight_server.protocol import MESSAGES, new, pack, parse, unpack

# Written down by hand from the field tables of the protocol: tag byte (number << 3 | wire type), then the value.
GOLDEN = [
    (new("CommandGetSqlInfo", info=[8, 576]), b"\x0a\x03\x08\xc0\x04"),
    (new("CommandGetXdbcTypeInfo", data_type=-5), b"\x08\xfb\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
    (new("CommandGetCatalogs"), b""),
    (new("CommandGetDbSchemas", catalog="", db_schema_filter_pattern="m%"), b"\x0a\x00\x12\x02m%"),
    (
        new(
            "CommandGetTables",
            catalog="c",
            db_schema_filter_pattern="s",
            table_name_filter_pattern="t",
            table_types=["A", "B"],
            include_schema=True,
        ),
        b"\x0a\x01c\x12\x01s\x1a\x01t\x22\x01A\x22\x01B\x28\x01",
    ),
    (new("CommandGetPrimaryKeys", catalog="c", db_schema="s", table="t"), b"\x0a\x01c\x12\x01s\x1a\x01t"),
    (
        new("CommandGetCrossReference", pk_table="p", fk_catalog="c", fk_db_schema="s", fk_table="f"),
        b"\x1a\x01p\x22\x01c\x2a\x01s\x32\x01f",
    ),
    (new("CommandStatementQuery", query="q", transaction_id=b""), b"\x0a\x01q\x12\x00"),
    (new("CommandStatementUpdate", query="q"), b"\x0a\x01q"),
    (new("CommandPreparedStatementQuery", prepared_statement_handle=b"h"), b"\x0a\x01h"),
    (new("CommandPreparedStatementUpdate", prepared_statement_handle=b"h"), b"\x0a\x01h"),
    (
        new(
            "CommandStatementIngest",
            table_definition_options=new("CommandStatementIngest.TableDefinitionOptions", if_not_exist=1, if_exists=3),
            table="t",
            schema="s",
            catalog="c",
            temporary=True,
            transaction_id=b"x",
            options={"k": "v"},
        ),
        b"\x0a\x04\x08\x01\x10\x03\x12\x01t\x1a\x01s\x22\x01c\x28\x01\x32\x01x\xc2\x3e\x06\x0a\x01k\x12\x01v",
    ),
    (new("TicketStatementQuery", statement_handle=b"h"), b"\x0a\x01h"),
    (new("DoPutUpdateResult", record_count=-1), b"\x08" + b"\xff" * 9 + b"\x01"),
    (new("DoPutPreparedStatementResult", prepared_statement_handle=b""), b"\x0a\x00"),
    (
        new(
            "ActionCreatePreparedStatementResult",
            prepared_statement_handle=b"h",
            dataset_schema=b"d",
            parameter_schema=b"p",
            is_update=False,
        ),
        b"\x0a\x01h\x12\x01d\x1a\x01p\x20\x00",
    ),
    (new("ActionEndTransactionRequest", transaction_id=b"t", action=2), b"\x0a\x01t\x10\x02"),
    (new("ActionCancelQueryRequest", info=b"i"), b"\x0a\x01i"),
    (new("SessionOptionValue", int64_value=-2), b"\x19\xfe\xff\xff\xff\xff\xff\xff\xff"),
    (new("SessionOptionValue", bool_value=False), b"\x10\x00"),
    (new("SessionOptionValue", double_value=1.0), b"\x21\x00\x00\x00\x00\x00\x00\xf0\x3f"),
    (
        new("SessionOptionValue", string_list_value=new("SessionOptionValue.StringListValue", values=["a", ""])),
        b"\x2a\x05\x0a\x01a\x0a\x00",
    ),
    (
        new("SetSessionOptionsRequest", session_options={"a": new("SessionOptionValue", string_value="b")}),
        b"\x0a\x08\x0a\x01a\x12\x03\x0a\x01b",
    ),
    (
        new("SetSessionOptionsResult", errors={"a": new("SetSessionOptionsResult.Error", value=2)}),
        b"\x0a\x07\x0a\x01a\x12\x02\x08\x02",
    ),
    (new("CancelFlightInfoResult", status=3), b"\x08\x03"),
    (new("CloseSessionResult", status=1), b"\x08\x01"),
]


@pytest.mark.parametrize(("message", "golden"), GOLDEN, ids=[message.DESCRIPTOR.name for message, _ in GOLDEN])
def test_a_message_has_the_bytes_of_the_protocol(message, golden):
    name = message.DESCRIPTOR.full_name.removeprefix("arrow.flight.protocol.").removeprefix("sql.")
    assert message.SerializeToString(deterministic=True) == golden
    assert parse(name, golden) == message


def test_presence_is_kept():
    assert parse("CommandGetTables", b"\x0a\x00").HasField("catalog")
    assert not parse("CommandGetTables", b"").HasField("catalog")
    assert not parse("ActionCreatePreparedStatementResult", b"").HasField("is_update")


def test_the_last_member_of_a_oneof_wins():
    assert parse("SessionOptionValue", b"\x10\x01\x0a\x01x").WhichOneof("option_value") == "string_value"


def test_any_is_the_one_of_protobuf():
    message = new("CommandGetSqlInfo", info=[8])
    envelope = any_pb2.Any()
    envelope.ParseFromString(pack(message))
    assert envelope.type_url == "type.googleapis.com/arrow.flight.protocol.sql.CommandGetSqlInfo"
    copy = MESSAGES["CommandGetSqlInfo"]()
    assert envelope.Unpack(copy)
    assert copy == message
    assert unpack(pack(message)) == ("arrow.flight.protocol.sql.CommandGetSqlInfo", b"\x0a\x01\x08")


@pytest.mark.parametrize("data", [b"", b"select 1", b"hello", b"\x0a\x03abc", b"\x0a\x04abc/"])
def test_what_is_no_any_is_not_unpacked(data):
    assert unpack(data) is None


@pytest.mark.parametrize("data", [b"\x0a\x05ab", b"\x0a\x02\xff\xfe", b"\xff"])
def test_malformed_bytes_are_the_callers_fault(data):
    with pytest.raises(LakehouseError, match="malformed_command: The bytes are not a valid CommandStatementQuery"):
        parse("CommandStatementQuery", data)
