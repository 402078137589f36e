import contextlib
import logging

import adbc_driver_manager
import pyarrow as pa
import pyarrow.flight as fl
import pytest
from adbc_driver_flightsql import dbapi

from catalog import ErrorKind, LakehouseError
from flight_server.errors import MESSAGE_BYTES, WIRE_ERRORS, guarded, known_error, rpc, wire_error, wire_text

SCHEMA = pa.schema([("a", pa.int64())])
BATCH = pa.record_batch([pa.array([1])], schema=SCHEMA)

PYARROW_CLASSES = {
    ErrorKind.INVALID_ARGUMENT: pa.ArrowInvalid,
    ErrorKind.ALREADY_EXISTS: pa.ArrowInvalid,
    ErrorKind.CONFLICT: pa.ArrowInvalid,
    ErrorKind.TOO_LARGE: pa.ArrowInvalid,
    ErrorKind.NOT_FOUND: pa.ArrowKeyError,
    ErrorKind.UNIMPLEMENTED: pa.ArrowNotImplementedError,
    ErrorKind.UNAUTHENTICATED: fl.FlightUnauthenticatedError,
    ErrorKind.PERMISSION_DENIED: fl.FlightUnauthorizedError,
    ErrorKind.RESOURCE_EXHAUSTED: fl.FlightUnavailableError,
    ErrorKind.UNAVAILABLE: fl.FlightUnavailableError,
    ErrorKind.OUTCOME_UNKNOWN: fl.FlightUnavailableError,
    ErrorKind.TIMEOUT: fl.FlightTimedOutError,
    ErrorKind.CANCELLED: fl.FlightCancelledError,
    ErrorKind.INTERNAL: fl.FlightInternalError,
}
QUIET_KINDS = {kind for kind, known in PYARROW_CLASSES.items() if not issubclass(known, fl.FlightError)}

ADBC_STATUS = {
    ErrorKind.INVALID_ARGUMENT: "INVALID_ARGUMENT",
    ErrorKind.ALREADY_EXISTS: "INVALID_ARGUMENT",
    ErrorKind.CONFLICT: "INVALID_ARGUMENT",
    ErrorKind.TOO_LARGE: "INVALID_ARGUMENT",
    ErrorKind.NOT_FOUND: "NOT_FOUND",
    ErrorKind.UNIMPLEMENTED: "NOT_IMPLEMENTED",
    ErrorKind.UNAUTHENTICATED: "UNAUTHENTICATED",
    ErrorKind.PERMISSION_DENIED: "UNAUTHORIZED",
    ErrorKind.RESOURCE_EXHAUSTED: "IO",
    ErrorKind.UNAVAILABLE: "IO",
    ErrorKind.OUTCOME_UNKNOWN: "IO",
    ErrorKind.TIMEOUT: "TIMEOUT",
    ErrorKind.CANCELLED: "CANCELLED",
    ErrorKind.INTERNAL: "INTERNAL",
}


class FailingServer(fl.FlightServerBase):
    """Fails in every RPC, in the way that the test has set."""

    error: BaseException = RuntimeError()

    def fail(self):
        with contextlib.suppress(ZeroDivisionError):
            1 / 0  # noqa: B018
        raise self.error

    @rpc
    def list_flights(self, context, criteria):
        yield self.fail()

    @rpc
    def get_flight_info(self, context, descriptor):
        self.fail()

    @rpc
    def get_schema(self, context, descriptor):
        self.fail()

    @rpc
    def list_actions(self, context):
        self.fail()

    @rpc
    def do_action(self, context, action):
        self.fail()

    @rpc
    def do_put(self, context, descriptor, reader, writer):
        self.fail()

    @rpc
    def do_exchange(self, context, descriptor, reader, writer):
        self.fail()

    @rpc
    def do_get(self, context, ticket):
        match ticket.ticket:
            case b"stream":
                return fl.GeneratorStream(SCHEMA, guarded(self.batches(), context, rpc="do_get"))
            case b"reader":
                reader = pa.RecordBatchReader.from_batches(SCHEMA, guarded(self.batches(), context))
                return fl.RecordBatchStream(reader)
        return self.fail()

    def batches(self):
        yield BATCH
        self.fail()


@pytest.fixture(scope="module")
def server():
    with FailingServer("grpc://127.0.0.1:0") as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with fl.connect(f"grpc://127.0.0.1:{server.port}") as client:
        yield client


def put(client):
    writer, reader = client.do_put(fl.FlightDescriptor.for_command(b"x"), SCHEMA)
    writer.done_writing()
    reader.read()
    writer.close()


def exchange(client):
    writer, reader = client.do_exchange(fl.FlightDescriptor.for_command(b"x"))
    writer.done_writing()
    reader.read_chunk()
    writer.close()


CALLS = {
    "list_flights": lambda client: list(client.list_flights()),
    "get_flight_info": lambda client: client.get_flight_info(fl.FlightDescriptor.for_command(b"x")),
    "get_schema": lambda client: client.get_schema(fl.FlightDescriptor.for_command(b"x")),
    "list_actions": lambda client: list(client.list_actions()),
    "do_action": lambda client: list(client.do_action(fl.Action("x", b""))),
    "do_get": lambda client: client.do_get(fl.Ticket(b"x")).read_chunk(),
    "stream": lambda client: [*client.do_get(fl.Ticket(b"stream"))],
    "reader": lambda client: [*client.do_get(fl.Ticket(b"reader"))],
    "do_put": put,
    "do_exchange": exchange,
}

UNKNOWN = (fl.FlightServerError, pa.ArrowException)


def caught(call, client):
    # pyarrow's client turns CANCELLED into KeyboardInterrupt where it can be interrupted: list_flights, streams.
    with pytest.raises((Exception, KeyboardInterrupt)) as raised:
        call(client)
    return raised.value


def assert_clean(text):
    assert "Traceback" not in text
    assert ".py" not in text
    assert "/" not in text.replace("://", "").replace("N/A", "").split("gRPC client debug context")[0]


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_kind_reaches_pyarrow_from_every_rpc_with_its_class_and_a_clean_text(server, client, kind):
    server.error = LakehouseError(kind, "some_code", "Größe of 'x' is wrong.")
    for name, call in CALLS.items():
        error = caught(call, client)
        if isinstance(error, KeyboardInterrupt):
            assert kind is ErrorKind.CANCELLED
            continue
        # Where pyarrow does not translate Flight errors, their code is lost, but nothing leaks.
        translated = kind in QUIET_KINDS or name not in {"get_schema", "reader"}
        assert isinstance(error, PYARROW_CLASSES[kind] if translated else UNKNOWN), name
        assert "some_code: Größe of 'x' is wrong." in str(error)
        assert_clean(str(error))


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_kind_reaches_adbc_with_its_status_and_our_code(server, kind):
    server.error = LakehouseError(kind, "some_code", "Größe of 'x' is wrong.")
    uri = f"grpc://127.0.0.1:{server.port}"
    with dbapi.connect(uri, autocommit=True) as connection:
        with pytest.raises(adbc_driver_manager.Error) as raised:
            connection.adbc_get_table_types()
        assert raised.value.status_code.name == ADBC_STATUS[kind]
        assert "some_code: Größe of 'x' is wrong." in str(raised.value)
        assert (b"x-lakehouse-code", b"some_code") in raised.value.details
        assert_clean(str(raised.value))


@pytest.mark.parametrize(
    "error",
    [OSError("/etc/secret"), ValueError("/etc/secret"), KeyError("/etc/secret"), AssertionError(), SystemExit(1)],
)
def test_what_nobody_expected_is_told_by_an_id_and_logged_with_it(server, client, caplog, error):
    server.error = error
    for name, call in CALLS.items():
        caplog.clear()
        told = caught(call, client)
        assert isinstance(told, UNKNOWN if name in {"get_schema", "reader"} else fl.FlightInternalError)
        assert "internal_error: The server failed, and its log says why; id=" in str(told)
        assert "secret" not in str(told)
        assert_clean(str(told))
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert record.error_id in str(told)
        assert record.exc_info[1] is error


def test_out_of_memory_is_told_as_such():
    assert known_error(MemoryError(), "do_get").code == "out_of_memory"
    assert known_error(pa.ArrowMemoryError(), "do_get").kind is ErrorKind.RESOURCE_EXHAUSTED


def test_a_cancelled_read_of_the_callers_stream_is_no_fault_of_ours(caplog):
    assert known_error(fl.FlightCancelledError("gone"), "do_put").kind is ErrorKind.CANCELLED
    assert not caplog.records


def test_every_kind_has_a_class():
    assert set(WIRE_ERRORS) == set(ErrorKind)


def test_a_wire_error_passes_unchanged():
    error = wire_error(LakehouseError(ErrorKind.NOT_FOUND, "a", "b"))
    assert wire_error(error) is error


@pytest.mark.parametrize("character", ["a", "é", "€", "😀"])
def test_a_long_message_is_cut_between_characters(character):
    text = wire_text(LakehouseError(ErrorKind.INTERNAL, "code", character * 5000))
    assert MESSAGE_BYTES - 4 <= len(text.encode()) <= MESSAGE_BYTES
    assert text == f"code: {character * (len(text) - 7)}…"


def test_control_characters_are_cleaned_but_lines_stay():
    error = LakehouseError(ErrorKind.INTERNAL, "code", "a\x00\x1b[31mb\r\nc\td\u2028e\ud800")
    assert wire_text(error) == "code: a [31mb \nc d e "


def test_a_long_text_with_lines_reaches_both_clients_whole(server, client):
    server.error = LakehouseError(ErrorKind.INVALID_ARGUMENT, "code", "line 1\nline 2 " + "é" * 2000)
    text = wire_text(server.error)
    assert text in str(caught(CALLS["get_flight_info"], client))
    with dbapi.connect(f"grpc://127.0.0.1:{server.port}", autocommit=True) as connection:
        with connection.cursor() as cursor, pytest.raises(adbc_driver_manager.Error) as raised:
            cursor.adbc_prepare("SELECT 1")
        assert text in str(raised.value)


def test_an_error_in_mid_stream_reaches_adbc_by_its_text(server):
    """The driver makes every error of a stream UNKNOWN, and drops the trailers; the text has our code all the same."""
    server.error = LakehouseError(ErrorKind.TIMEOUT, "statement_timeout", "Too slow.")
    info = fl.FlightInfo(SCHEMA, fl.FlightDescriptor.for_command(b"x"), [fl.FlightEndpoint(b"stream", [])], -1, -1)
    uri = f"grpc://127.0.0.1:{server.port}"
    with dbapi.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.adbc_read_partition(info.serialize())
        with pytest.raises(
            adbc_driver_manager.Error, match="DeadlineExceeded desc = statement_timeout: Too slow"
        ) as raised:
            cursor.fetchall()
    assert_clean(str(raised.value))


def test_closing_a_guarded_stream_closes_what_it_guards():
    closed = []

    def items():
        try:
            yield 1
        finally:
            closed.append(True)

    stream = guarded(items())
    next(stream)
    stream.close()
    assert closed == [True]
