"""How much the server's memory grows while much more than that goes in, and comes out."""

from collections.abc import Iterator

import pyarrow as pa

from clients import Client, connect

from .harness import Finding, Spread, Target
from .lab import Lab
from .processes import MemorySampler, resident_bytes
from .servers import BUCKET, Server, lakehouse

MARK = Target(512, "MB", at_most=True)
SHORT_BYTES = 1_000_000_000
FULL_BYTES = 10_000_000_000
NAME = "lineitem"


def measure(lab: Lab) -> list[Finding]:
    """Put rows of lineitem, made on the fly, and get them, each on a server that has done nothing before."""
    places = {"local lake": (lab.work / "memory", None), "MinIO": (f"s3://{BUCKET}/memory", lab.bucket)}
    findings = []
    for place, (lake, bucket) in places.items():
        for measure_one in (_measure_put, _measure_get):
            with lakehouse(lake, bucket) as server, connect(server.flight) as client:
                client.query("SELECT 1").to_table()
                findings.append(measure_one(lab, server, client, place))
    return findings


def _measure_put(lab: Lab, server: Server, client: Client, place: str) -> Finding:
    idle, amount = resident_bytes(server.pid), _amount(lab)
    with MemorySampler(server.pid) as memory:
        client.ingest(NAME, _rows(lab, amount))
    return _finding(f"memory above idle, DoPut of {amount / 1e9:g} GB, {place}", idle, memory.peak_bytes)


def _measure_get(lab: Lab, server: Server, client: Client, place: str) -> Finding:
    idle = resident_bytes(server.pid)
    with MemorySampler(server.pid) as memory:
        size = _read(client, _amount(lab))
    return _finding(f"memory above idle, DoGet of {size / 1e9:.1f} GB, {place}", idle, memory.peak_bytes)


def _amount(lab: Lab) -> int:
    return FULL_BYTES if lab.full else SHORT_BYTES


def _rows(lab: Lab, amount: int) -> pa.RecordBatchReader:
    """Return lineitem, repeated until it is so many bytes."""
    table = lab.lineitem

    def batches() -> Iterator[pa.RecordBatch]:
        sent = 0
        while True:
            for batch in table.to_batches():
                yield batch
                sent += batch.nbytes
                if sent >= amount:
                    return

    return pa.RecordBatchReader.from_batches(table.schema, batches())


def _read(client: Client, amount: int) -> int:
    """Read the dataset to its end; return its bytes."""
    with client.query(f"FROM {NAME}") as result:
        size = sum(batch.nbytes for batch in result)
    assert size >= amount * 0.9, "the answer is too small to show anything"
    return size


def _finding(what: str, idle: int, peak: int) -> Finding:
    grown = (peak - idle) / 1e6
    return Finding(what, f"{peak / 1e6:,.0f} MB", "idle", f"{idle / 1e6:,.0f} MB", Spread(grown, grown, grown), MARK)
