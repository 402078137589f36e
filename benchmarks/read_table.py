"""DoGet: a whole table, against a bare Flight server with the table in memory, and DuckDB that reads the same objects."""

from collections.abc import Callable
from contextlib import ExitStack

import adbc_driver_flightsql.dbapi
import duckdb
import pyarrow as pa
import pyarrow.flight as fl

from clients import Client, connect

from .harness import Finding, Spread, Target, rate, ratio, slower_of, take_turns
from .lab import Lab
from .servers import bare_flight

SQL = "FROM lineitem"
STREAM_MARK = Target(0.85)
ADBC_MARK = Target(0.8)
BARE = "bare Flight server"
DUCKDB = "DuckDB in process"


def measure(lab: Lab) -> list[Finding]:
    """Read lineitem as a stream whose batches are dropped, and into a table."""
    gigabytes = lab.lineitem.nbytes / 1e9
    findings = []
    with ExitStack() as stack:
        bare = stack.enter_context(fl.FlightClient(stack.enter_context(bare_flight(lab.lineitem, lab.work))))
        baseline = stack.enter_context(lab.duckdb("lineitem"))
        for place, server in (("local lake", lab.local), ("MinIO", lab.minio)):
            with connect(server.flight) as client, adbc_driver_flightsql.dbapi.connect(server.flight) as stock:
                streams = {
                    BARE: lambda: _drop_batches(_bare_reader(bare)),
                    DUCKDB: lambda: _drop_batches(_duckdb_reader(baseline)),
                    "ours": lambda client=client: _drop_stream(client),
                }
                tables = {
                    BARE: lambda: _bare_reader(bare).read_all(),
                    DUCKDB: lambda: _duckdb_reader(baseline).read_all(),
                    "ours": lambda client=client: client.query(SQL).to_table(),
                    "adbc": lambda stock=stock: _adbc_table(stock),
                }
                where = f"lineitem ({gigabytes:.2f} GB), {place}"
                findings += _compared(f"DoGet {where}", streams, lab.rounds, {"ours": ("", STREAM_MARK)}, gigabytes)
                marks = {"ours": ("DoGet into a table,", None), "adbc": ("ADBC `fetch_arrow_table`", ADBC_MARK)}
                findings += _compared(where, tables, lab.rounds, marks, gigabytes)
    return findings


def _compared(
    what: str,
    contestants: dict[str, Callable[[], object]],
    rounds: int,
    marks: dict[str, tuple[str, Target | None]],
    gigabytes: float,
) -> list[Finding]:
    seconds = take_turns(contestants, rounds)
    slower = slower_of(seconds, (BARE, DUCKDB))
    limits = "; ".join(
        f"{name} {Spread.of([gigabytes / one for one in seconds[name]]).show()}" for name in (BARE, DUCKDB)
    )
    return [
        Finding(
            f"{prefix} {what}".strip(),
            rate(gigabytes, seconds[name], "GB/s"),
            f"the slower of two: {slower}",
            f"{limits} GB/s",
            ratio(seconds[slower], seconds[name]),
            mark,
        )
        for name, (prefix, mark) in marks.items()
    ]


def _bare_reader(client: fl.FlightClient) -> pa.RecordBatchReader:
    information = client.get_flight_info(fl.FlightDescriptor.for_command(b"table"))
    return client.do_get(information.endpoints[0].ticket).to_reader()


def _duckdb_reader(connection: duckdb.DuckDBPyConnection) -> pa.RecordBatchReader:
    return connection.sql(SQL).to_arrow_reader(122_880)


def _drop_batches(reader: pa.RecordBatchReader) -> int:
    return sum(batch.num_rows for batch in reader)


def _drop_stream(client: Client) -> int:
    with client.query(SQL) as result:
        return sum(batch.num_rows for batch in result)


def _adbc_table(connection: adbc_driver_flightsql.dbapi.Connection) -> pa.Table:
    with connection.cursor() as cursor:
        cursor.execute(SQL)
        return cursor.fetch_arrow_table()
