"""The commands that talk to a running server: ingest, sql, ls, describe."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TransferSpeedColumn

from clients import DEFAULT_URI, Client, LakehouseClientError, connect

from .exits import CommandError, ExitCode
from .output import (
    FORMATS,
    Format,
    default_format,
    facts_table,
    parse_format,
    print_rows,
    readable_bytes,
    stderr,
    stdout,
    write_query,
)
from .upload import STANDARD_INPUT, dataset_name, upload_file

Uri = Annotated[str, typer.Option("--uri", envvar="LAKEHOUSE_FLIGHT_URI", help="The server's Flight address.")]
Url = Annotated[str, typer.Option("--url", envvar="LAKEHOUSE_HTTP_URL", help="The server's HTTP address.")]
DEFAULT_URL = "http://127.0.0.1:3100"


def ingest(
    file: Annotated[
        Path, typer.Argument(help="CSV, NDJSON, Parquet or Arrow file; .gz and .zst are unpacked. - is standard input.")
    ],
    name: Annotated[str | None, typer.Option(help="Dataset; by default what the file's name suggests.")] = None,
    mode: Annotated[str | None, typer.Option(help="create, append, overwrite or create_append (default).")] = None,
    key: Annotated[str | None, typer.Option(help="Idempotency key: a repeat adds the rows only once.")] = None,
    file_format: Annotated[
        str | None,
        typer.Option("--format", help="csv, tsv, ndjson, json, parquet or arrow; by default the file tells."),
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Delimiter of CSV, one character; by default a comma. \\t is a tab.")
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Add the rows of a file to a dataset, in one commit. A second run adds them again, unless --key is given."""
    if file == STANDARD_INPUT and not (name and file_format):
        raise CommandError(
            "Standard input tells neither its name nor its format: give --name and --format.", ExitCode.USAGE
        )
    dataset = name or dataset_name(file)
    given = {"mode": mode, "format": file_format, "delimiter": "\t" if delimiter == r"\t" else delimiter}
    with upload_progress() as bar:
        task = bar.add_task(dataset, total=file.stat().st_size if file.exists() else None)
        query = {"name": dataset} | {key: value for key, value in given.items() if value}
        answer = upload_file(url, file, query, idempotency_key=key, progress=lambda count: bar.advance(task, count))
    for column in answer.get("columns", []):
        if "why" in column:
            stderr.print(f"Column {column['name']} is text: {column['why'].removesuffix('.')}.", markup=False)
    if sys.stdout.isatty():
        stdout.print(what_was_added(answer), markup=False)
        print_manifest(answer)
    else:
        sys.stdout.write(json.dumps(answer) + "\n")


def what_was_added(answer: dict[str, Any]) -> str:
    """Return the first thing to know after an ingest."""
    if answer["replayed"]:
        return "Nothing added: this key was ingested before."
    rows = answer["rows_ingested"]
    return f"Added {rows:,} row{'s' * (rows != 1)} to {_full_name(answer)}, version {answer['version']}."


def upload_progress() -> Progress:
    """Return a progress bar over bytes; it shows on standard error, and only on a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
        console=stderr,
        disable=not stderr.is_terminal,
        transient=True,
    )


@contextmanager
def _server(uri: str) -> Iterator[Client]:
    """Connect; an address that leads nowhere is said in terms of the command line."""
    try:
        with connect(uri) as client:
            yield client
    except LakehouseClientError as error:
        if error.code == "invalid_address":
            raise CommandError(error.message, ExitCode.USAGE) from error
        if error.code == "server_unreachable":
            message = error.message.replace('"lakehouse serve".', '"lakehouse serve", or name another with --uri.')
            raise CommandError(message, ExitCode.UNREACHABLE) from error
        raise


def sql(
    statement: Annotated[str, typer.Argument(help="One SQL statement; - reads it from standard input.")],
    output: Annotated[
        Format | None,
        typer.Option(
            "--format", parser=parse_format, metavar=FORMATS, help="By default a table on a terminal, else CSV."
        ),
    ] = None,
    uri: Uri = DEFAULT_URI,
) -> None:
    """Run one SQL statement and write its rows."""
    text = sys.stdin.read() if statement == "-" else statement
    if not text.strip():
        raise CommandError("There is no statement to run.", ExitCode.USAGE)
    with _server(uri) as client:
        write_query(client, text, output or default_format(), sys.stdout.buffer)


def ls(
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="One JSON object a line.")] = False,
    uri: Uri = DEFAULT_URI,
) -> None:
    """List the datasets."""
    with _server(uri) as client:
        datasets = client.datasets()
    if as_json or not sys.stdout.isatty():
        for dataset in datasets:
            sys.stdout.write(json.dumps(dataset) + "\n")
        return
    if not datasets:
        stderr.print("No datasets yet. [dim]lakehouse ingest FILE makes one.[/]")
        return
    print_rows(LISTING, [_listing(datasets)])


LISTING = pa.schema(
    [
        ("dataset", pa.string()),
        ("rows", pa.int64()),
        ("size", pa.string()),
        ("version", pa.int64()),
        ("updated", pa.string()),
    ]
)


def _listing(datasets: list[dict[str, Any]]) -> pa.RecordBatch:
    rows = [
        {
            "dataset": _full_name(dataset),
            "rows": dataset["row_count"],
            "size": readable_bytes(dataset["bytes"]),
            "version": dataset["version"],
            "updated": dataset["updated_at"],
        }
        for dataset in datasets
    ]
    return pa.RecordBatch.from_pylist(rows, LISTING)


def _full_name(dataset: dict[str, Any]) -> str:
    return f"{dataset['lake']}.{dataset['schema_name']}.{dataset['name']}"


def describe(
    name: Annotated[str, typer.Argument(help="Dataset: NAME, SCHEMA.NAME or LAKE.SCHEMA.NAME.")],
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="The whole manifest as JSON.")] = False,
    uri: Uri = DEFAULT_URI,
) -> None:
    """Show a dataset's columns, size and version."""
    with _server(uri) as client:
        manifest = client.dataset(name)
    if as_json or not sys.stdout.isatty():
        sys.stdout.write(json.dumps(manifest, indent=2) + "\n")
        return
    print_manifest(manifest)


def print_manifest(manifest: dict[str, Any]) -> None:
    """Print a dataset's manifest for a person."""
    objects = manifest["objects"]
    stdout.print(
        facts_table(
            [
                ("dataset", f"[bold]{_full_name(manifest)}[/]"),
                ("rows", f"{manifest['row_count']:,}"),
                ("size", f"{readable_bytes(manifest['bytes'])} in {len(objects)} object{'s' * (len(objects) != 1)}"),
                ("version", str(manifest["version"])),
                ("updated", manifest["updated_at"]),
                ("id", manifest["dataset_id"]),
            ]
        )
    )
    columns = pa.RecordBatch.from_pylist(
        [
            {"column": column["name"], "type": column["type"], "null": "" if column["nullable"] else "NOT NULL"}
            for column in manifest["schema"]
        ],
        pa.schema([("column", pa.string()), ("type", pa.string()), ("null", pa.string())]),
    )
    print_rows(columns.schema, [columns], limit=columns.num_rows)
