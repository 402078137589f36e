import contextlib

import adbc_driver_manager
import pyarrow as pa
import pyarrow.flight as fl
import pytest
from adbc_driver_flightsql import dbapi
from google.protobuf import any_pb2

from catalog import ErrorKind, LakehouseError
from flight_server import actions, commands, sql_info
from flight_server.engine import EngineInfo
from flight_server.plain_commands import PlainPut, PlainQuery
from flight_server.protocol import new, pack
from flight_server.schemas import metadata_schema

SCHEMA = pa.schema([("a", pa.int64())])
HANDLE = b"handle"


class RecordingServer(fl.FlightServerBase):
    """Answers a stock driver just enough that it goes on, and records what it asks for."""

    def __init__(self, *args):
        super().__init__(*args)
        self.seen = []
        self.raw = []

    def get_flight_info(self, context, descriptor):
        command = self.command(descriptor.command)
        known = isinstance(command, commands.MetadataCommand)
        schema = metadata_schema(command) if known else SCHEMA
        return fl.FlightInfo(schema, descriptor, [fl.FlightEndpoint(descriptor.command, [])], -1, -1)

    def get_schema(self, context, descriptor):
        self.command(descriptor.command)
        return fl.SchemaResult(SCHEMA)

    def command(self, data):
        command = commands.decode_command(data)
        self.seen.append(command)
        self.raw.append((command, data))
        return command

    def do_get(self, context, ticket):
        command = commands.decode_command(ticket.ticket)
        if isinstance(command, commands.GetSqlInfo):
            values = sql_info.sql_info_values(sql_info.ServerInfo("a", "1", EngineInfo("e", "2")))
            return fl.RecordBatchStream(sql_info.sql_info_table(values, command.info))
        known = isinstance(command, commands.MetadataCommand)
        return fl.RecordBatchStream((metadata_schema(command) if known else SCHEMA).empty_table())

    def do_put(self, context, descriptor, reader, writer):
        command = self.command(descriptor.command)
        if not isinstance(command, commands.StatementUpdate):
            rows = sum(chunk.data.num_rows for chunk in reader)
        match command:
            case commands.PreparedStatementQuery():
                writer.write(commands.encode_bind_result(HANDLE + b"2"))
            case commands.StatementUpdate():
                writer.write(commands.encode_update_result(7))
            case _:
                writer.write(commands.encode_update_result(rows))

    def do_action(self, context, action):
        decoded = actions.decode_action(action.type, action.body.to_pybytes())
        self.seen.append(decoded)
        match decoded:
            case actions.CreatePreparedStatement(query=query):
                is_update = not query.startswith("SELECT")
                parameters = pa.schema([("0", pa.int64())])
                prepared = actions.PreparedStatement(HANDLE, None if is_update else SCHEMA, parameters, is_update)
                yield actions.encode_prepared_statement(prepared)
            case actions.BeginTransaction():
                yield actions.encode_begin_transaction(b"tx")
            case actions.SetSessionOptions(options=options):
                bad = {name: actions.SetOptionError.INVALID_VALUE for name in options if name == "bad"}
                yield actions.encode_set_session_options(bad)
            case actions.GetSessionOptions():
                options = {"catalog": "lake", "b": True, "i": -5, "f": 0.5, "l": ("x", "y")}
                yield actions.encode_get_session_options(options)
            case actions.CloseSession():
                yield actions.encode_close_session()


@pytest.fixture(scope="module")
def running():
    with RecordingServer("grpc://127.0.0.1:0") as server:
        yield server


@pytest.fixture
def server(running):
    running.seen.clear()
    running.raw.clear()
    return running


@pytest.fixture
def connect(server):
    with contextlib.ExitStack() as stack:

        def open_connection(*, autocommit=True):
            connection = stack.enter_context(dbapi.connect(f"grpc://127.0.0.1:{server.port}", autocommit=autocommit))
            if autocommit:
                server.seen.clear()
            return connection

        yield open_connection


def test_adbc_connects_with_a_transaction(server, connect):
    connection = connect(autocommit=False)
    connection.commit()
    connection.rollback()
    connection.close()
    assert server.seen == [
        commands.GetSqlInfo((8,)),
        actions.BeginTransaction(),
        actions.EndTransaction(b"tx", actions.EndTransactionAction.COMMIT),
        actions.BeginTransaction(),
        actions.EndTransaction(b"tx", actions.EndTransactionAction.ROLLBACK),
        actions.BeginTransaction(),
        actions.CloseSession(),
    ]


def test_adbc_runs_a_query_in_its_transaction(server, connect):
    with connect(autocommit=False).cursor() as cursor:
        server.seen.clear()
        cursor.execute("SELECT 1")
        assert cursor.fetchall() == []
    assert server.seen == [
        actions.CreatePreparedStatement("SELECT 1", b"tx"),
        commands.PreparedStatementQuery(HANDLE),
        actions.ClosePreparedStatement(HANDLE),
    ]


def test_adbc_binds_parameters_and_uses_the_handle_that_it_gets_back(server, connect):
    with connect().cursor() as cursor:
        cursor.execute("SELECT ?", (1,))
    assert server.seen == [
        actions.CreatePreparedStatement("SELECT ?"),
        commands.PreparedStatementQuery(HANDLE),
        commands.PreparedStatementQuery(HANDLE + b"2"),
        actions.ClosePreparedStatement(HANDLE + b"2"),
    ]


def test_adbc_runs_updates(server, connect):
    connection = connect()
    with connection.cursor() as cursor:
        cursor.execute("DELETE")
        assert cursor.rowcount == 0  # the driver sends a batch of no rows
        cursor.executemany("INSERT", [(1,), (2,)])
        assert cursor.rowcount == 2
        cursor.executescript("DROP")
    assert [command for command in server.seen if not isinstance(command, actions.ClosePreparedStatement)] == [
        actions.CreatePreparedStatement("DELETE"),
        commands.PreparedStatementUpdate(HANDLE),
        actions.CreatePreparedStatement("INSERT"),
        commands.PreparedStatementUpdate(HANDLE),
        commands.StatementUpdate("DROP"),
    ]


def test_adbc_reads_the_schemas_of_a_prepared_statement(connect):
    with connect().cursor() as cursor:
        assert cursor.adbc_prepare("SELECT ?") == pa.schema([("0", pa.int64())])
        assert cursor.adbc_execute_schema("SELECT ?") == SCHEMA


@pytest.mark.parametrize(
    ("mode", "if_not_exist", "if_exists"),
    [
        ("create", commands.TableNotExist.CREATE, commands.TableExists.FAIL),
        ("append", commands.TableNotExist.FAIL, commands.TableExists.APPEND),
        ("replace", commands.TableNotExist.CREATE, commands.TableExists.REPLACE),
        ("create_append", commands.TableNotExist.CREATE, commands.TableExists.APPEND),
    ],
)
def test_adbc_ingests(server, connect, mode, if_not_exist, if_exists):
    rows = pa.table({"a": [1, 2, 3]})
    with connect().cursor() as cursor:
        assert cursor.adbc_ingest("t", rows, mode, catalog_name="c", db_schema_name="s") == 3
    with connect().cursor() as cursor:
        assert cursor.adbc_ingest("t", rows, mode) == 3
    assert [command for command, _ in server.raw if isinstance(command, commands.StatementIngest)] == [
        commands.StatementIngest("t", if_not_exist, if_exists, schema="s", catalog="c"),
        commands.StatementIngest("t", if_not_exist, if_exists),
    ]


def test_adbc_lists_objects(server, connect):
    connection = connect()
    connection.adbc_get_objects(
        depth="all", db_schema_filter="m%", table_name_filter="t_", table_types_filter=["TABLE"]
    ).read_all()
    connection.adbc_get_table_types()
    with pytest.raises(adbc_driver_manager.Error, match="NOT_FOUND"):
        connection.adbc_get_table_schema("t", catalog_filter="c", db_schema_filter="s")
    assert set(server.seen) == {
        commands.GetDbSchemas(db_schema_filter_pattern="m%"),
        commands.GetTables(
            db_schema_filter_pattern="m%",
            table_name_filter_pattern="t_",
            table_types=("TABLE",),
            include_schema=True,
        ),
        commands.GetCatalogs(),
        commands.GetTableTypes(),
        commands.GetTables("c", "s", "t", include_schema=True),
    }


def test_adbc_sets_and_reads_session_options(server, connect):
    connection = connect()
    connection.adbc_current_catalog = "c"
    connection.adbc_current_db_schema = "s"
    assert connection.adbc_current_catalog == "lake"
    raw = connection.adbc_connection
    prefix = "adbc.flight.sql.session."
    raw.set_options(**{f"{prefix}option.i": 5})
    raw.set_options(**{f"{prefix}option.f": 0.5})
    raw.set_options(**{f"{prefix}optionbool.b": "true"})
    raw.set_options(**{f"{prefix}optionstringlist.l": '["x", "y"]'})
    raw.set_options(**{f"{prefix}optionerase.i": ""})
    assert raw.get_option_int(f"{prefix}option.i") == -5
    assert raw.get_option_float(f"{prefix}option.f") == 0.5
    assert raw.get_option(f"{prefix}optionbool.b") == "true"
    assert raw.get_option(f"{prefix}optionstringlist.l") == '["x","y"]'
    with pytest.raises(adbc_driver_manager.Error, match="invalid value"):
        raw.set_options(**{f"{prefix}option.bad": 5})
    sent = [command.options for command in server.seen if isinstance(command, actions.SetSessionOptions)]
    assert sent == [
        {"catalog": "c"},
        {"schema": "s"},
        {"i": 5},
        {"f": 0.5},
        {"b": True},
        {"l": ("x", "y")},
        {"i": None},
        {"bad": 5},
    ]


def test_our_bytes_are_those_of_adbc(server, connect):
    connection = connect()
    connection.adbc_get_objects(depth="all", db_schema_filter="m%", table_types_filter=["A", "B"]).read_all()
    with connection.cursor() as cursor:
        cursor.adbc_ingest("t", pa.table({"a": [1]}), "replace", catalog_name="c", db_schema_name="s")
    with connection.cursor() as cursor:
        cursor.execute("SELECT ?", (1,))
        cursor.executescript("DROP")
    kinds = {type(command) for command, _ in server.raw}
    assert kinds >= {
        commands.GetSqlInfo,
        commands.GetTables,
        commands.StatementIngest,
        commands.PreparedStatementQuery,
        commands.StatementUpdate,
    }
    for command, data in server.raw:
        assert commands.encode_command(command) == data


EVERY_COMMAND = [
    commands.StatementQuery("q", b"tx"),
    commands.StatementQuery(""),
    commands.StatementUpdate("q"),
    commands.PreparedStatementQuery(b"h"),
    commands.PreparedStatementUpdate(b"h"),
    commands.StatementIngest(
        "t", commands.TableNotExist.CREATE, commands.TableExists.FAIL, "", "c", temporary=True, options={"a": "b"}
    ),
    commands.TicketStatementQuery(b"h"),
    commands.GetCatalogs(),
    commands.GetDbSchemas("", ""),
    commands.GetTables(table_types=("A", "B")),
    commands.GetTableTypes(),
    commands.GetSqlInfo((0, 508)),
    commands.GetXdbcTypeInfo(-5),
    commands.GetPrimaryKeys("t", "c"),
    commands.GetExportedKeys("t"),
    commands.GetImportedKeys("t", None, ""),
    commands.GetCrossReference("p", "f", fk_db_schema="s"),
]


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=lambda command: type(command).__name__)
def test_a_command_survives_its_bytes(command):
    assert commands.decode_command(commands.encode_command(command)) == command


@pytest.mark.parametrize(
    ("data", "code", "text"),
    [
        (b"", "malformed_command", "empty"),
        (b" \n", "malformed_command", "empty"),
        (b"\xff\xfe", "malformed_command", "UTF-8"),
        (b"SELECT\x001", "malformed_command", "readable"),
        (commands.encode_command(commands.GetSqlInfo((8,)))[:-3], "malformed_command", "cut short"),
        (
            pack(new("CommandStatementIngest", table="t")),
            "malformed_command",
            "if_not_exist",
        ),
        (pack(new("CommandStatementIngest")), "malformed_command", "names no table"),
    ],
)
def test_malformed_commands_are_refused(data, code, text):
    with pytest.raises(LakehouseError, match=text) as raised:
        commands.decode_command(data)
    assert (raised.value.kind, raised.value.code) == (ErrorKind.INVALID_ARGUMENT, code)


def test_a_command_with_a_bad_value_is_refused():
    data = pack(new("CommandStatementQuery", query="ab")).replace(b"\x0a\x02ab", b"\x0a\x09ab")
    with pytest.raises(LakehouseError, match="malformed_command: The bytes are not a valid CommandStatementQuery"):
        commands.decode_command(data)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (pack(new("CommandStatementSubstraitPlan")), "CommandStatementSubstraitPlan"),
        (pack(new("DoPutUpdateResult")), "DoPutUpdateResult"),
        (pack(new("CloseSessionRequest")), "CloseSessionRequest"),
        (
            any_pb2.Any(type_url="x/arrow.flight.protocol.sql.CommandGetMagic").SerializeToString(),
            "CommandGetMagic",
        ),
    ],
)
def test_messages_that_are_no_command_of_ours_are_named(data, name):
    with pytest.raises(LakehouseError, match=f"unsupported_command: This server does not support {name}") as raised:
        commands.decode_command(data)
    assert raised.value.kind is ErrorKind.UNIMPLEMENTED


def test_sql_text_that_resembles_protobuf_is_sql():
    # A line feed is the tag of an Any's type_url, and "S" is a length of 83.
    text = b"\nS" + b"/" * 83
    assert commands.decode_command(text) == PlainQuery(text.decode())
    assert commands.decode_command(b"\nSELECT 1") == PlainQuery("\nSELECT 1")


def test_plain_commands_are_decoded():
    assert commands.decode_command(b"SELECT 1") == PlainQuery("SELECT 1")
    assert commands.decode_command(b'{"dataset": "t"}') == PlainPut("t")


@pytest.mark.parametrize("name", ["CreatePreparedSubstraitPlan", "BeginSavepoint", "EndSavepoint"])
def test_standard_actions_without_support_are_named(name):
    with pytest.raises(LakehouseError, match=f"unsupported_command: This server does not support {name}"):
        actions.decode_action(name, b"")


def test_unknown_actions_are_named():
    with pytest.raises(LakehouseError, match="unknown_action: This server has no action 'Dance'"):
        actions.decode_action("Dance", b"")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("CreatePreparedStatement", b""),
        ("CreatePreparedStatement", b"select 1"),
        ("CreatePreparedStatement", pack(new("ActionBeginTransactionRequest"))),
        ("EndTransaction", pack(new("ActionEndTransactionRequest", transaction_id=b"t"))),
        ("EndTransaction", pack(new("ActionEndTransactionRequest", transaction_id=b"t", action=3))),
        ("SetSessionOptions", b"\xff"),
        ("CancelFlightInfo", b"\x0a\x09a"),
        ("lakehouse.datasets", b"[1]"),
        ("lakehouse.datasets", b"\xff"),
    ],
)
def test_malformed_actions_are_refused(name, body):
    with pytest.raises(LakehouseError, match="malformed_command"):
        actions.decode_action(name, body)


def test_cancel_actions_carry_the_info_and_get_their_own_answers():
    info = fl.FlightInfo(SCHEMA, fl.FlightDescriptor.for_command(b"q"), [], -1, -1).serialize()
    modern = actions.decode_action("CancelFlightInfo", new("CancelFlightInfoRequest", info=info).SerializeToString())
    legacy = actions.decode_action("CancelQuery", pack(new("ActionCancelQueryRequest", info=info)))
    assert modern == actions.CancelFlightInfo(info)
    assert legacy == actions.CancelFlightInfo(info, legacy=True)
    assert fl.FlightInfo.deserialize(modern.info).schema == SCHEMA
    assert actions.encode_cancel(actions.CancelStatus.CANCELLED, modern) == b"\x08\x01"
    assert actions.encode_cancel(actions.CancelStatus.CANCELLING, legacy) == pack(
        new("ActionCancelQueryResult", result=2)
    )


def test_renew_carries_the_endpoint():
    endpoint = fl.FlightEndpoint(b"ticket", []).serialize()
    body = new("RenewFlightEndpointRequest", endpoint=endpoint).SerializeToString()
    renew = actions.decode_action("RenewFlightEndpoint", body)
    assert fl.FlightEndpoint.deserialize(renew.endpoint).ticket == fl.Ticket(b"ticket")


def test_our_own_actions_carry_json():
    assert actions.decode_action("lakehouse.datasets", b"") == actions.PlainAction("datasets", {})
    assert actions.decode_action("lakehouse.drop", b'{"dataset": "t"}').arguments == {"dataset": "t"}


def test_every_listed_action_is_decoded():
    for name in actions.FLIGHT_SQL_ACTIONS:
        with contextlib.suppress(LakehouseError):
            actions.decode_action(name, b"")
