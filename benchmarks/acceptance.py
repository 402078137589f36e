"""The acceptance run: the file of workers goes to MinIO by HTTP and is asked three questions, on a new server."""

import json
from dataclasses import dataclass
from typing import Any

from .harness import timed
from .http_calls import ask_sql, upload
from .lab import Lab
from .processes import MemorySampler, cpu_seconds, resident_bytes
from .servers import BUCKET, lakehouse

NAME = "workers_500k"
QUERIES = (
    f"SELECT count(*) FROM {NAME}",
    f"SELECT role, count(*) AS workers FROM {NAME} WHERE state = 'IL' GROUP BY role ORDER BY role",
    f"SELECT state, avg(salary) AS salary, max(hired_at) AS last_hired FROM {NAME} GROUP BY state ORDER BY state",
)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What the run took.

    Attributes:
        csv_bytes: size of the file.
        object_bytes: size of each Parquet object that it became.
        queries: each with its seconds, first and repeated.
        idle_bytes: memory of all processes of the server before.
        cpu_seconds: what they computed, all in all.
    """

    csv_bytes: int
    rows: int
    ingest_seconds: float
    object_bytes: tuple[int, ...]
    queries: tuple[tuple[str, float, float], ...]
    idle_bytes: int
    peak_bytes: int
    cpu_seconds: float


def run(lab: Lab) -> Acceptance:
    """Do the run once, cold."""
    manifests: list[dict[str, Any]] = []
    with lakehouse(f"s3://{BUCKET}/acceptance", lab.bucket) as server:
        idle, computed = resident_bytes(server.pid), cpu_seconds(server.pid)
        with MemorySampler(server.pid) as memory:
            ingest = timed(lambda: manifests.append(upload(server.http, lab.workers_csv, NAME, "create")))
            queries = tuple(
                (sql, *(timed(lambda sql=sql: ask_sql(server.http, sql)) for _ in range(2))) for sql in QUERIES
            )
        (counted,) = json.loads(ask_sql(server.http, QUERIES[0], keep=True)[0])
        computed = cpu_seconds(server.pid) - computed
    rows = manifests[0]["row_count"]
    assert counted == {"count_star()": rows}
    sizes = tuple(one["bytes"] for one in manifests[0]["objects"])
    return Acceptance(lab.workers_csv.stat().st_size, rows, ingest, sizes, queries, idle, memory.peak_bytes, computed)
