"""Work stops when its caller goes away."""

import threading
import time

import adbc_driver_flightsql.dbapi as adbc
import adbc_driver_manager as manager
import pyarrow as pa
import pyarrow.flight as fl
import pytest
from flight_calls import query

from flight_server import EngineSettings
from flight_server.cancellation import CancellationWatch

ENDLESS = (
    "SELECT count(*) FROM range(100_000) a, range(100_000) b, range(100_000) c WHERE a.range + b.range + c.range = 7"
)
ROWS_WITHOUT_END = "SELECT range AS n FROM range(1_000_000_000_000)"


class Context:
    """A call context whose client goes away when told to."""

    def __init__(self):
        self.cancelled = False

    def is_cancelled(self):
        return self.cancelled


def running(server):
    return len(server._services.engine._watch.running())


def wait_until(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.01)


def test_a_callback_runs_once_when_the_caller_goes_away():
    watch, context, calls = CancellationWatch(0.01), Context(), []
    with watch.watching(context, lambda: calls.append(1)):
        context.cancelled = True
        wait_until(lambda: calls)
    watch.close()

    assert calls == [1]


def test_a_context_is_never_asked_after_its_call_has_ended():
    watch, context = CancellationWatch(0.001), Context()
    with watch.watching(context, lambda: None):
        pass
    asked = []
    context.is_cancelled = lambda: asked.append(1)
    with watch.watching(Context(), lambda: None):
        threading.Event().wait(0.05)
    watch.close()

    assert asked == []


def test_a_failing_callback_does_not_stop_the_watch(caplog):
    watch, context, calls = CancellationWatch(0.01), Context(), []
    with watch.watching(context, lambda: 1 / 0):
        context.cancelled = True
        other = Context()
        with watch.watching(other, lambda: calls.append(1)):
            other.cancelled = True
            wait_until(lambda: calls)
    watch.close()

    assert "a cancellation callback failed" in caplog.text


def test_a_client_that_closes_its_cursor_stops_its_query(serve):
    server = serve()
    with adbc.connect(server.address, autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute(ROWS_WITHOUT_END)
        assert cursor.fetchone() == (0,)
        wait_until(lambda: running(server) == 1)
        cursor.close()
        wait_until(lambda: running(server) == 0, seconds=2)


def test_a_cancelled_call_stops_a_query_that_has_no_rows_yet(serve):
    server = serve()
    with fl.connect(server.address) as client:
        info = client.get_flight_info(fl.FlightDescriptor.for_command(ENDLESS.encode()))
        reader = client.do_get(info.endpoints[0].ticket)
        wait_until(lambda: running(server) == 1)
        reader.cancel()
        wait_until(lambda: running(server) == 0, seconds=2)


def test_a_ticket_can_be_cancelled_by_its_flight_info(serve):
    server = serve()
    with fl.connect(server.address) as client, fl.connect(server.address) as other:
        info = client.get_flight_info(fl.FlightDescriptor.for_command(ENDLESS.encode()))
        reader = client.do_get(info.endpoints[0].ticket)
        wait_until(lambda: running(server) == 1)
        body = b"\x0a" + _varint(len(info.serialize())) + info.serialize()
        [result] = other.do_action(fl.Action("CancelFlightInfo", body))

        assert result.body.to_pybytes() == b"\x08\x01"
        with pytest.raises((fl.FlightCancelledError, pa.ArrowCancelled, KeyboardInterrupt)):
            reader.read_all()
        wait_until(lambda: running(server) == 0, seconds=2)


def test_a_statement_that_takes_too_long_times_out(serve):
    server = serve(engine=EngineSettings(statement_timeout_seconds=0.3))
    with fl.connect(server.address) as client, pytest.raises(fl.FlightTimedOutError, match="statement_timeout"):
        query(client, ENDLESS)


def test_a_cancelled_insert_changes_nothing(serve):
    server = serve()
    with adbc.connect(server.address, autocommit=True) as connection:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE t (n BIGINT)")
        with connection.cursor() as cursor:
            canceller = threading.Timer(0.5, cursor.adbc_cancel)
            canceller.start()
            with pytest.raises(manager.Error):
                cursor.execute(f"INSERT INTO t {ROWS_WITHOUT_END}")
            canceller.join()
        wait_until(lambda: running(server) == 0, seconds=2)
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM t")
            assert cursor.fetchall() == [(0,)]


def _varint(value):
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*data, value])
