import warnings

import pyarrow as pa
import pyarrow.flight as fl
import pytest
from adbc_driver_flightsql import dbapi

from flight_server import actions, commands, schemas
from flight_server.engine import EngineInfo
from flight_server.sql_info import ServerInfo, sql_info_table, sql_info_values

ENGINE = EngineInfo("DuckDB", "2.0.0", ["SELECT", "FROM"], ["abs"], ["lower"], ["now"], ["version"])
VALUES = sql_info_values(
    ServerInfo("Lakehouse", "1.0", ENGINE, statement_timeout_seconds=300, max_sql_bytes=4096, max_columns=2000)
)

# The child of the union that a driver casts each value to.
STRINGS = {0, 1, 2, 504, 513, 514, 529, 530, 531}
LISTS = {508, 509, 510, 511, 512}
INT32 = {8, 100, 101, 503, 505, 507, 522, 525, 526, 528, 533, 534, 535, 538, 540, 564, 567, 568, 569, 570, 571}
BIGINTS = {*range(541, 556), *range(557, 563)}
SUBSTRAIT_VERSIONS = {6, 7}
ALL = {*range(12), 100, 101, *range(500, 577)} - SUBSTRAIT_VERSIONS


def as_dict(table):
    return dict(zip(table["info_name"].to_pylist(), table["value"].to_pylist(), strict=True))


def test_every_code_is_answered():
    assert set(VALUES) == ALL


def test_every_value_is_in_the_child_that_drivers_cast_it_to():
    expected = dict.fromkeys(ALL, 1) | dict.fromkeys(STRINGS, 0) | dict.fromkeys(BIGINTS, 2)
    expected |= dict.fromkeys(INT32, 3) | dict.fromkeys(LISTS, 4) | {517: 5}
    assert {code: child for code, (child, _) in VALUES.items()} == expected
    union = sql_info_table(VALUES)["value"].combine_chunks()
    codes = sql_info_table(VALUES)["info_name"].to_pylist()
    assert dict(zip(codes, union.type_codes.to_pylist(), strict=True)) == expected


@pytest.mark.parametrize("codes", [(), (0, 1, 2), (8,), (517, 508, 541, 3, 0), (6,), (10_000,)])
def test_the_table_is_valid_to_the_last_byte(codes):
    table = sql_info_table(VALUES, codes)
    table.validate(full=True)
    assert table.schema.equals(schemas.SQL_INFO, check_metadata=True)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    with pa.ipc.open_stream(sink.getvalue()) as reader:
        assert reader.read_all() == table


def test_only_what_is_asked_for_is_answered_in_the_order_asked():
    assert as_dict(sql_info_table(VALUES, (504, 8, 10_000, 8))) == {504: '"', 8: 1}
    assert sql_info_table(VALUES, (10_000,)).num_rows == 0


def test_some_values():
    values = as_dict(sql_info_table(VALUES))
    assert values[0] == "Lakehouse"
    assert values[1] == "1.0 (DuckDB 2.0.0)"
    assert values[3] is False
    assert values[8] == 1
    assert values[10] is True
    assert values[100] == 300_000
    assert values[508] == ["SELECT", "FROM"]
    assert values[548] == 2000
    assert values[557] == 4096
    assert values[562] == 4
    assert dict(values[517])[7] == sorted(dict(values[517])[7])


def test_the_longest_timeouts_fit():
    server = ServerInfo("a", "1", ENGINE, read_only=True, statement_timeout_seconds=1e12)
    values = as_dict(sql_info_table(sql_info_values(server)))
    assert values[100] == 2**31 - 1
    assert values[3] is True


class InfoServer(fl.FlightServerBase):
    def get_flight_info(self, context, descriptor):
        return fl.FlightInfo(schemas.SQL_INFO, descriptor, [fl.FlightEndpoint(descriptor.command, [])], -1, -1)

    def do_get(self, context, ticket):
        return fl.RecordBatchStream(sql_info_table(VALUES, commands.decode_command(ticket.ticket).info))

    def do_action(self, context, action):
        if action.type == "BeginTransaction":
            yield actions.encode_begin_transaction(b"tx")


def test_adbc_reads_it_and_learns_that_there_are_transactions():
    with InfoServer("grpc://127.0.0.1:0") as server, warnings.catch_warnings():
        warnings.simplefilter("error")  # the driver warns when it finds no transactions
        with dbapi.connect(f"grpc://127.0.0.1:{server.port}") as connection:
            assert connection.adbc_get_info()["vendor_name"] == "Lakehouse"
            # get_info with codes asks for single values of each kind
            raw = connection.adbc_connection.get_info()
            table = pa.RecordBatchReader._import_from_c(raw.address).read_all()
            assert 0 in table["info_name"].to_pylist()
