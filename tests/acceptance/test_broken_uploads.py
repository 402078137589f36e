"""A client that dies, cancels or fails in the middle of an upload leaves nothing visible."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import adbc_driver_manager
import pyarrow as pa
import pyarrow.flight as fl
import pytest
from clean_answers import refused
from flight_calls import put
from lakehouse_process import LakehouseProcess

from lakehouse import connect

CLIENT = Path(__file__).parents[1] / "support" / "upload_client.py"
ROW = pa.table({"a": [1]})
BATCH = pa.record_batch({"worker": [0] * 1000, "n": list(range(1000))})


class OneUploadServer:
    """A server that takes one upload at a time, so that everybody can see when the one before has ended.

    Who asks takes the place for a moment, so ask only when the upload in question has surely begun.
    """

    def __init__(self, server: LakehouseProcess) -> None:
        self.server = server
        with server.client() as client:
            put(client, "other", ROW)

    def wait_until_idle(self) -> None:
        deadline = time.monotonic() + 20
        with self.server.client() as client:
            while self._is_busy(client):
                assert time.monotonic() < deadline, "the upload did not end"

    def _is_busy(self, client: fl.FlightClient) -> bool:
        with refused("dataset_already_exists", "too_many_uploads") as refusal:
            put(client, {"dataset": "other", "mode": "create"}, ROW)
        return refusal.code == "too_many_uploads"

    def check_nothing_is_visible(self, name: str) -> None:
        self.wait_until_idle()
        listed = self.server.http("GET", "/v1/datasets").json["datasets"]
        assert [(entry["name"], entry["version"]) for entry in listed] == [("other", 1)]
        assert self.server.http.sql(f"FROM {name}").code == "dataset_not_found"
        with self.server.client() as client, refused("dataset_not_found"):
            client.get_flight_info(fl.FlightDescriptor.for_path(name))


@pytest.fixture(scope="module")
def uploads(tmp_path_factory) -> Iterator[OneUploadServer]:
    folder = tmp_path_factory.mktemp("broken")
    settings = "[flight]\nmax_concurrent_uploads = 1\n[writer]\nobject_bytes = 1_048_576\n"
    server = LakehouseProcess(folder, str(folder / "lake"), settings).start()
    yield OneUploadServer(server)
    server.close()


def batches_until(failure: BaseException, count: int = 3) -> pa.RecordBatchReader:
    def generate() -> Iterator[pa.RecordBatch]:
        for _ in range(count):
            yield BATCH
        raise failure

    return pa.RecordBatchReader.from_batches(BATCH.schema, generate())


class StuckReader:
    """Sends more than fits into any buffer between client and server, then keeps the upload waiting."""

    def __init__(self) -> None:
        self.is_stuck = threading.Event()
        self._go_on = threading.Event()
        self.reader = pa.RecordBatchReader.from_batches(BATCH.schema, self._generate())

    def release(self) -> None:
        self._go_on.set()

    def _generate(self) -> Iterator[pa.RecordBatch]:
        for _ in range(2_000):
            yield BATCH
        self.is_stuck.set()
        self._go_on.wait()
        yield BATCH


@pytest.mark.parametrize(
    "work",
    [
        {"work": "hold", "batches": 0},
        {"work": "hold", "batches": 1},
        {"work": "hold", "batches": 200},
        {"work": "flood"},
    ],
    ids=["after the schema", "after a batch", "after several data objects", "while it sends"],
)
def test_a_killed_client_leaves_nothing(uploads, work):
    arguments = json.dumps({"uri": uploads.server.flight, "dataset": "broken"} | work)
    with subprocess.Popen([sys.executable, str(CLIENT), arguments], stdout=subprocess.PIPE) as client:
        assert client.stdout.readline()
        client.kill()
    uploads.check_nothing_is_visible("broken")


def test_a_killed_curl_leaves_nothing(uploads, tmp_path):
    command = ["curl", "-sS", "-T", "-", "-X", "POST", "-H", "Content-Type: text/csv"]
    url = f"{uploads.server.http_address}/v1/ingest?name=broken"
    with subprocess.Popen([*command, url], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
        client.stdin.write(b"a\n" + b"1\n" * 3_000_000)
        client.stdin.flush()
        client.kill()
        with suppress(BrokenPipeError):
            client.stdin.close()
    uploads.check_nothing_is_visible("broken")


def test_a_body_shorter_than_announced_leaves_nothing(uploads):
    target = urlsplit(uploads.server.http_address)
    head = f"POST /v1/ingest?name=broken HTTP/1.1\r\nHost: {target.netloc}\r\nContent-Type: text/csv\r\n"
    with socket.create_connection((target.hostname, target.port)) as connection:
        connection.sendall(f"{head}Content-Length: 100\r\n\r\na\n1\n2\n".encode())
        connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").read()
    assert not answer or answer.startswith(b"HTTP/1.1 400 ")
    uploads.check_nothing_is_visible("broken")


def test_a_generator_that_raises_leaves_nothing(uploads):
    with connect(uploads.server.flight) as client, pytest.raises(ValueError, match="no more"):
        client.ingest("broken", batches_until(ValueError("no more")))
    uploads.check_nothing_is_visible("broken")


def test_a_generator_that_raises_in_adbc_leaves_nothing(uploads):
    failing = batches_until(ValueError("no more"))
    with uploads.server.adbc() as connection, connection.cursor() as cursor:  # noqa: SIM117
        with pytest.raises(adbc_driver_manager.Error, match="no more"):
            cursor.adbc_ingest("broken", failing, mode="create")
    uploads.check_nothing_is_visible("broken")


def test_an_explicit_upload_of_stock_pyarrow_that_fails_leaves_nothing(uploads):
    """pyarrow's writer ends a stream that broke off in its block as it ends a whole one; so the end is not enough."""
    command = json.dumps({"dataset": "broken", "explicit_commit": True})
    with uploads.server.client() as client, refused("upload_abandoned"):
        writer, _ = client.do_put(fl.FlightDescriptor.for_command(command), BATCH.schema)
        with writer:
            writer.write_batch(BATCH)
            raise ValueError("no more")
    uploads.check_nothing_is_visible("broken")


def test_a_cancelled_upload_leaves_nothing(uploads):
    stuck = StuckReader()
    with uploads.server.adbc() as connection, connection.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        try:
            ingest = pool.submit(cursor.adbc_ingest, "broken", stuck.reader, mode="create")
            assert stuck.is_stuck.wait(20)
            cursor.adbc_cancel()
            uploads.wait_until_idle()
        finally:
            stuck.release()
        assert isinstance(ingest.exception(), adbc_driver_manager.Error)
    uploads.check_nothing_is_visible("broken")


def test_an_upload_over_its_own_time_limit_leaves_nothing(uploads):
    with uploads.server.client() as client:
        writer, _ = client.do_put(
            fl.FlightDescriptor.for_path("broken"), BATCH.schema, fl.FlightCallOptions(timeout=1.0)
        )
        writer.write_batch(BATCH)
        list(client.list_actions())  # the same connection: the upload has begun
        uploads.wait_until_idle()
        with pytest.raises(fl.FlightTimedOutError):
            writer.close()
    uploads.check_nothing_is_visible("broken")


def test_a_transaction_that_is_not_committed_leaves_nothing(uploads):
    with uploads.server.adbc(autocommit=False) as connection:
        with connection.cursor() as cursor:
            cursor.adbc_ingest("broken", pa.Table.from_batches([BATCH]), mode="create")
            cursor.execute("SELECT count(*) FROM broken")
            assert cursor.fetchone() == (1000,)
        connection.rollback()
    uploads.check_nothing_is_visible("broken")
