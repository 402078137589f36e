"""CSV in and JSON out by HTTP, against DuckDB that reads the file, and writes the JSON, in process."""

from pathlib import Path

import duckdb

from clients import connect

from .harness import Finding, Target, rate, ratio, take_turns
from .http_calls import ask_sql, upload
from .lab import Lab

CSV_MARK = Target(0.6)
JSON_MARK = Target(0.5)
NAME = "workers"


def measure(lab: Lab) -> list[Finding]:
    """Upload the workers as CSV to both lakes, then read them as JSON."""
    findings = [_csv(lab, "local lake"), _csv(lab, "MinIO"), _json(lab)]
    with connect(lab.local.flight) as client:
        client.drop(NAME)
    return findings


def _csv(lab: Lab, place: str) -> Finding:
    server = lab.minio if place == "MinIO" else lab.local
    file = lab.work / "workers.parquet"
    megabytes = lab.workers_csv.stat().st_size / 1e6
    with lab.duckdb() as baseline:
        seconds = take_turns(
            {
                "ours": lambda: upload(server.http, lab.workers_csv, NAME, "overwrite"),
                "theirs": lambda: _copy(baseline, lab.workers_csv, file),
            },
            lab.rounds,
        )
    file.unlink()
    return Finding(
        f"CSV by HTTP ({megabytes:.0f} MB, {lab.workers:,} rows) to commit, {place}",
        rate(megabytes, seconds["ours"], "MB/s", 0),
        "DuckDB `read_csv` → `COPY` in process",
        rate(megabytes, seconds["theirs"], "MB/s", 0),
        ratio(seconds["theirs"], seconds["ours"]),
        CSV_MARK,
    )


def _copy(connection: duckdb.DuckDBPyConnection, source: Path, file: Path) -> None:
    connection.execute(f"COPY (FROM read_csv('{source}')) TO '{file}' (FORMAT parquet, COMPRESSION zstd)")


def _json(lab: Lab) -> Finding:
    with lab.duckdb(NAME) as baseline:
        seconds = take_turns(
            {
                "ours": lambda: ask_sql(lab.local.http, f"FROM {NAME}"),
                "theirs": lambda: _to_json(baseline),
            },
            lab.rounds,
        )
    return Finding(
        f"JSON by HTTP, {lab.workers:,} rows",
        rate(lab.workers / 1e3, seconds["ours"], "thousand rows/s", 0),
        "DuckDB `to_json` in process",
        rate(lab.workers / 1e3, seconds["theirs"], "thousand rows/s", 0),
        ratio(seconds["theirs"], seconds["ours"]),
        JSON_MARK,
    )


def _to_json(connection: duckdb.DuckDBPyConnection) -> int:
    reader = connection.sql(f"SELECT to_json({NAME}) FROM {NAME}").to_arrow_reader(122_880)
    return sum(batch.num_rows for batch in reader)
