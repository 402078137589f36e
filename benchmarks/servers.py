"""Servers in processes of their own: the lakehouse by its command line, a bare Flight server, MinIO."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.flight as fl

from tests.support.minio import Minio, find_binary

START_SECONDS = 60
BUCKET = "benchmarks"


@dataclass(frozen=True, slots=True)
class Server:
    """A running lakehouse server.

    Attributes:
        pid: of the process that holds all others of the server.
        lake: the folder of its lake, or None if that is in a bucket.
    """

    flight: str
    http: str
    pid: int
    lake: Path | None = None


@contextmanager
def lakehouse(lake: Path | str, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run a server with default settings on a folder or on ``s3://BUCKET/PREFIX``."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("LAKEHOUSE_", "AWS_"))}
    with tempfile.TemporaryDirectory(prefix="lakehouse-bench-") as folder:
        ready, log = Path(folder, "ready.json"), Path(folder, "server.log")
        command = [sys.executable, "-m", "lakehouse", "serve", "--lake", str(lake)]
        command += ["--flight", "127.0.0.1:0", "--http", "127.0.0.1:0", "--ready-file", str(ready)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=folder, env=plain | dict(environment or {}), stdout=output, stderr=output
            )
        try:
            _await_file(ready, process, log)
            yield Server(**json.loads(ready.read_text()), lake=lake if isinstance(lake, Path) else None)
        finally:
            process.terminate()
            process.wait()


@contextmanager
def minio(folder: Path) -> Iterator[dict[str, str]]:
    """Run a MinIO server with an empty bucket; give the environment that reaches it.

    Raises:
        RuntimeError: there is no MinIO on this machine.
    """
    binary, why = find_binary()
    if binary is None:
        raise RuntimeError(why)
    (folder / BUCKET).mkdir(parents=True)  # MinIO takes the folders that it finds as buckets
    server = Minio(binary, folder)
    server.start()
    try:
        yield {
            "AWS_ENDPOINT_URL_S3": server.endpoint,
            "AWS_ACCESS_KEY_ID": server.access_key,
            "AWS_SECRET_ACCESS_KEY": server.secret_key,
            "AWS_REGION": "us-east-1",
        }
    finally:
        server.stop()


@contextmanager
def bare_flight(table: pa.Table, folder: Path) -> Iterator[str]:
    """Run a Flight server that holds a table in memory, in its own process; give its address."""
    path = folder / "table.arrow"
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.servers", str(path)],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        if not address:
            raise RuntimeError("the bare Flight server did not start")
        yield address
    finally:
        process.communicate()  # the end of its input ends it
        path.unlink()


class BareServer(fl.FlightServerBase):  # type: ignore[misc]
    """Answers every GetFlightInfo with one ticket, and every ticket with the table."""

    def __init__(self, table: pa.Table) -> None:
        super().__init__("grpc://127.0.0.1:0")
        self._table = table

    def get_flight_info(self, _context: fl.ServerCallContext, descriptor: fl.FlightDescriptor) -> fl.FlightInfo:
        """Return one endpoint."""
        return fl.FlightInfo(self._table.schema, descriptor, [fl.FlightEndpoint(b"table", [])], -1, -1)

    def do_get(self, _context: fl.ServerCallContext, _ticket: fl.Ticket) -> fl.RecordBatchStream:
        """Return the table."""
        return fl.RecordBatchStream(self._table)


def _await_file(path: Path, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not path.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.02)


def _serve_bare(path: str) -> None:
    with pa.ipc.open_file(path) as reader:  # read, not mapped: the table is in memory
        table = reader.read_all()
    with BareServer(table) as server:
        print(f"grpc://127.0.0.1:{server.port}", flush=True)
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    _serve_bare(sys.argv[1])
