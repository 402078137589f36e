"""The demo: real data in, and out again through every client, on a server that lives in a temporary folder.

It uses the server only as a stranger would: its command line, its two addresses, and stock client libraries.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import adbc_driver_flightsql.dbapi
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.flight as fl
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from clients import LakehouseClientError, connect

from .client_commands import upload_progress
from .exits import CommandError, ExitCode
from .output import readable_bytes, rows_table, stderr, stdout
from .sample_data import read_flights, write_workers_csv
from .upload import upload_file

SHOWN_ROWS = 4
WORKERS = 500_000


@dataclass(frozen=True)
class Server:
    """Where the demo's server listens."""

    flight: str
    http: str

    @property
    def host_and_port(self) -> str:
        """The Flight address without its scheme."""
        return self.flight.removeprefix("grpc://")


def main() -> None:
    """Run the demo."""
    try:
        with tempfile.TemporaryDirectory(prefix="lakehouse-demo-") as folder:
            run(Path(folder))
    except (CommandError, LakehouseClientError) as error:
        stderr.print(f"The demo failed: {error}", style="red", markup=False)
        sys.exit(ExitCode.ERROR)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)


def run(folder: Path) -> None:
    """Run the demo with its lake and its files in a folder."""
    began = time.monotonic()
    heading("A server", "Flight and HTTP, on a new lake in a temporary folder")
    with serving(folder) as server:
        heading("Rows in", "each upload is one atomic commit")
        put_flights(server)
        upload_workers(server, folder / "workers_500k.csv")
        heading("Rows out", "the same SQL through every client")
        for number, question in enumerate(QUESTIONS):
            if number:
                stdout.print()
            ask(server, question)
    heading("After a restart", "the lake is the folder; a server holds nothing of its own")
    with serving(folder) as server:
        show_datasets(server)
    heading("Go on", f"the demo took {time.monotonic() - began:.0f} seconds and left nothing behind")
    stdout.print(NEXT_STEPS, soft_wrap=True)


def heading(title: str, remark: str) -> None:
    """Print the title of a part."""
    stdout.print(f"\n[bold cyan]{title}[/]  [dim]{remark}[/]\n")


def done(what: str, seconds: float, remark: str = "") -> None:
    """Print what is done and how long it took."""
    stdout.print(f"  [green]✓[/] {what}  [dim]{seconds:.2f} s{remark}[/]", soft_wrap=True)


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Start a server on free ports, and stop it as systemd would."""
    arguments = ["--lake", str(folder / "lake"), "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0"]
    command = [sys.executable, "-m", "lakehouse", "serve", *arguments]
    log = folder / "server.log"
    began = time.monotonic()
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LAKEHOUSE_")}
    with log.open("ab") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder, env=plain)  # noqa: S603 (our own module)
    with stderr.status("starting"):
        addresses = _read_addresses(process)
    if addresses is None:
        process.communicate()
        raise CommandError(f"the server did not start:\n{log.read_text(errors='replace')[-2000:]}")
    server = Server(**addresses)
    done(f"Flight {server.flight}   HTTP {server.http}", time.monotonic() - began)
    try:
        yield server
    finally:
        process.terminate()
        process.communicate()


def _read_addresses(process: subprocess.Popen[str]) -> dict[str, str] | None:
    """Return what the server prints when it answers, or None if it ends before."""
    assert process.stdout is not None
    addresses = {}
    for line in process.stdout:
        name, _, address = line.partition(" ")
        if name in {"Flight", "HTTP"}:
            addresses[name.lower()] = address.strip()
        if len(addresses) == 2:  # noqa: PLR2004 (both)
            return addresses
    return None


def put_flights(server: Server) -> None:
    """Send the flights with DoPut."""
    table = read_flights()
    began = time.monotonic()
    with connect(server.flight) as client, _rows_progress() as bar:
        task = bar.add_task("flights", total=table.num_rows)
        result = client.ingest("flights", table, progress=lambda rows, _: bar.update(task, completed=rows))
    seconds = time.monotonic() - began
    rate = f", {result.rows / seconds:,.0f} rows/s"
    done(f"[bold]flights[/] {result.rows:,} rows by Arrow Flight DoPut → {_parquet(result.bytes)}", seconds, rate)


def upload_workers(server: Server, file: Path) -> None:
    """Send the generated CSV file as curl would."""
    with stderr.status("making workers_500k.csv"):
        write_workers_csv(file, WORKERS)
    size = file.stat().st_size
    began = time.monotonic()
    with upload_progress() as bar:
        task = bar.add_task(file.name, total=size)
        query = {"name": file.stem}
        manifest = upload_file(server.http, file, query, progress=lambda count: bar.advance(task, count))
    seconds = time.monotonic() - began
    what = f"{manifest['row_count']:,} rows of CSV ({readable_bytes(size)}) by HTTP → {_parquet(manifest['bytes'])}"
    done(f"[bold]workers_500k[/] {what}", seconds, f", {manifest['row_count'] / seconds:,.0f} rows/s")


def _rows_progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("rows"))
    return Progress(*columns, console=stderr, disable=not stderr.is_terminal, transient=True)


def _parquet(count: int) -> str:
    return f"{readable_bytes(count)} of Parquet"


def show_datasets(server: Server) -> None:
    """List what the restarted server finds."""
    began = time.monotonic()
    with connect(server.flight) as client:
        datasets = client.datasets()
    for dataset in datasets:
        name = f"{dataset['lake']}.{dataset['schema_name']}.{dataset['name']}"
        done(f"[bold]{name}[/] {dataset['row_count']:,} rows, version {dataset['version']}", time.monotonic() - began)
    if [dataset["name"] for dataset in datasets] != ["flights", "workers_500k"]:
        raise CommandError("the restarted server lost a dataset")


@dataclass(frozen=True)
class Question:
    """A query, and the client that asks it."""

    client: str
    sql: str
    run: Callable[[Server, str], pa.Table]


def ask(server: Server, question: Question) -> None:
    """Run a query and print its first rows."""
    stdout.print(f"  [bold]{question.client}[/]")
    for line in question.sql.splitlines():
        stdout.print(f"  [yellow]{line}[/]")
    began = time.monotonic()
    table = question.run(server, question.sql)
    seconds = time.monotonic() - began
    rows = [tuple(row.values()) for row in table.slice(0, SHOWN_ROWS).to_pylist()]
    stdout.print(Padding(rows_table(table.schema, rows), (0, 0, 0, 2)))
    count = f"{table.num_rows:,} row{'s' * (table.num_rows != 1)}"
    shown = f"first {SHOWN_ROWS} of {count}" if table.num_rows > SHOWN_ROWS else count
    done(shown, seconds, ", connecting included")


def by_adbc(server: Server, sql: str) -> pa.Table:
    """Ask with the stock ADBC driver."""
    with adbc_driver_flightsql.dbapi.connect(server.flight) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetch_arrow_table()


def by_polars(server: Server, sql: str) -> pa.Table:
    """Ask with polars, which finds the driver by the address."""
    return pl.read_database_uri(sql, f"flightsql://{server.host_and_port}?transport=tcp", engine="adbc").to_arrow()


def by_pandas(server: Server, sql: str) -> pa.Table:
    """Ask with pandas, over an ADBC connection."""
    with adbc_driver_flightsql.dbapi.connect(server.flight) as connection:
        return pa.Table.from_pandas(pd.read_sql(sql, connection), preserve_index=False)


def by_flight(server: Server, sql: str) -> pa.Table:
    """Ask with nothing but pyarrow."""
    with fl.connect(server.flight) as client:
        information = client.get_flight_info(fl.FlightDescriptor.for_command(sql))
        return client.do_get(information.endpoints[0].ticket).read_all()


def by_http(server: Server, sql: str) -> pa.Table:
    """Ask as curl would."""
    request = urllib.request.Request(  # noqa: S310 (our own server)
        f"{server.http}/v1/sql", json.dumps({"sql": sql}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310 (our own server)
        return pa.Table.from_pylist(json.load(answer))


FLIGHTS_BY_CARRIER = """\
SELECT carrier, count(*) AS flights, avg(arr_delay) AS mean_delay
FROM flights GROUP BY carrier ORDER BY flights DESC"""
SALARIES_IN_ILLINOIS = """\
SELECT role, count(*) AS workers, median(salary) AS median_salary
FROM workers_500k WHERE state = 'IL' GROUP BY role ORDER BY role"""
DELAYS_BY_MONTH = """\
SELECT month, avg(dep_delay) AS mean_delay
FROM flights WHERE origin = 'JFK' GROUP BY month ORDER BY month"""

QUESTIONS = (
    Question("ADBC  adbc_driver_flightsql, fetch_arrow_table()", FLIGHTS_BY_CARRIER, by_adbc),
    Question("polars  read_database_uri()", SALARIES_IN_ILLINOIS, by_polars),
    Question("pandas  read_sql()", DELAYS_BY_MONTH, by_pandas),
    Question("pyarrow Flight  all rows of a dataset", "SELECT * EXCLUDE (badge, active) FROM workers_500k", by_flight),
    Question("HTTP  POST /v1/sql", "SELECT count(*) AS workers FROM workers_500k", by_http),
)

NEXT_STEPS = """\
  [dim]Serve a lake of your own in ./lake-data:[/]
    .venv/bin/lakehouse serve

  [dim]In another terminal, rows in and out by HTTP:[/]
    .venv/bin/lakehouse sample-data workers_500k.csv
    curl -F file=@workers_500k.csv 'http://127.0.0.1:3100/v1/ingest?name=workers_500k'
    curl -d 'SELECT role, avg(salary) FROM workers_500k GROUP BY role' -H 'Content-Type: text/plain' http://127.0.0.1:3100/v1/sql

  [dim]And from Python (.venv/bin/python):[/]
    import lakehouse
    client = lakehouse.connect("grpc://127.0.0.1:8815")
    print(client.query("SELECT count(*) AS workers FROM workers_500k").to_pandas())
"""

if __name__ == "__main__":
    main()
