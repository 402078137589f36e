"""DoPut until the rows are committed, against DuckDB that copies the same Arrow table to a Parquet file."""

from pathlib import Path

import duckdb

from clients import connect

from .harness import Finding, Target, rate, ratio, take_turns
from .lab import Lab

MARK = Target(0.9)


def measure(lab: Lab) -> list[Finding]:
    """Replace a copy of lineitem, again and again; each time is one commit."""
    gigabytes = lab.lineitem.nbytes / 1e9
    findings = []
    for place, server in (("local lake", lab.local), ("MinIO", lab.minio)):
        with connect(server.flight) as client, lab.duckdb() as baseline:
            baseline.register("lineitem", lab.lineitem)
            file = lab.work / "copied.parquet"
            seconds = take_turns(
                {
                    "ours": lambda client=client: client.ingest("lineitem_copy", lab.lineitem, mode="overwrite"),
                    "theirs": lambda baseline=baseline, file=file: _copy(baseline, file),
                },
                lab.rounds,
            )
            stored = client.dataset("lineitem_copy")["bytes"]
        findings.append(
            Finding(
                f"DoPut lineitem ({gigabytes:.2f} GB) to commit, {place}",
                rate(gigabytes, seconds["ours"], f"GB/s, {stored / 1e6:,.0f} MB stored"),
                "DuckDB `COPY … TO` Parquet (zstd) in process",
                rate(gigabytes, seconds["theirs"], f"GB/s, {file.stat().st_size / 1e6:,.0f} MB"),
                ratio(seconds["theirs"], seconds["ours"]),
                MARK,
            )
        )
        file.unlink()
    return findings


def _copy(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    connection.execute(f"COPY lineitem TO '{file}' (FORMAT parquet, COMPRESSION zstd)")
