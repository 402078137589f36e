"""Rows on their way out of a command: a table for people, a format for programs."""

import re
import sys
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clients import Client

from .exits import CommandError, ExitCode

TABLE_ROWS = 100
"""Rows that a table on a terminal shows; the other formats always carry all."""

NULL = Text("NULL", style="dim")

stdout = Console(highlight=False)
stderr = Console(stderr=True, highlight=False)


class Format(Enum):
    """How rows are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    NDJSON = "ndjson"
    ARROW = "arrow"
    PARQUET = "parquet"


FORMATS = "|".join(output.value for output in Format)


def parse_format(name: str) -> Format:
    """Return the format of this name."""
    try:
        return Format(name)
    except ValueError:
        names = ", ".join(output.value for output in Format)
        raise CommandError(f"--format {name}: is not a format; they are {names}.", ExitCode.USAGE) from None


def default_format() -> Format:
    """Return a table for a terminal, CSV for a pipe or a file."""
    return Format.TABLE if sys.stdout.isatty() else Format.CSV


def write_query(client: Client, sql: str, output: Format, sink: BinaryIO) -> None:
    """Run a statement and write its rows as they arrive."""
    if output in {Format.ARROW, Format.PARQUET} and sink.isatty():
        raise CommandError("This format is not for a terminal: send it to a file or a pipe.", ExitCode.USAGE)
    WRITERS[output](client, sql, sink)


def _write_table(client: Client, sql: str, _sink: BinaryIO) -> None:
    with client.query(sql) as result:
        if sys.stdout.isatty() and CHANGE.match(sql) and result.schema.equals(COUNT):
            stdout.print(_what_changed(result.to_table()["Count"][0].as_py()))
        else:
            print_rows(result.schema, result)


CHANGE = re.compile(
    r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*(?:create|delete|drop|insert|truncate)\b", re.IGNORECASE | re.DOTALL
)
"""Statements that answer with the number of rows that they changed, in one column."""
COUNT = pa.schema([("Count", pa.int64())])


def _what_changed(rows: int) -> str:
    return f"{rows:,} row{'s' * (rows != 1)} changed." if rows else "Done."


def _write_csv(client: Client, sql: str, sink: BinaryIO) -> None:
    with client.query(sql) as result, pa_csv.CSVWriter(sink, _flat(result.schema)) as writer:
        for batch in result:
            writer.write_batch(batch)


def _write_json(client: Client, sql: str, sink: BinaryIO) -> None:
    """Write one array; each row comes with a comma and a line end before it."""
    sink.write(b"[")
    first = True
    for text in client.query_text(sql, text_format="json"):
        sink.write(memoryview(text)[1:] if first else text)
        first = first and not text.size
    sink.write(b"]\n" if first else b"\n]\n")


def _write_ndjson(client: Client, sql: str, sink: BinaryIO) -> None:
    sink.writelines(client.query_text(sql, text_format="ndjson"))


def _write_arrow(client: Client, sql: str, sink: BinaryIO) -> None:
    with client.query(sql) as result, pa.ipc.new_stream(sink, result.schema) as writer:
        for batch in result:
            writer.write_batch(batch)


def _write_parquet(client: Client, sql: str, sink: BinaryIO) -> None:
    with client.query(sql) as result, pq.ParquetWriter(sink, result.schema, compression="zstd") as writer:
        for batch in result:
            writer.write_batch(batch)


WRITERS: dict[Format, Callable[[Client, str, BinaryIO], None]] = {
    Format.TABLE: _write_table,
    Format.CSV: _write_csv,
    Format.JSON: _write_json,
    Format.NDJSON: _write_ndjson,
    Format.ARROW: _write_arrow,
    Format.PARQUET: _write_parquet,
}


def _flat(schema: pa.Schema) -> pa.Schema:
    for field in schema:
        if pa.types.is_nested(field.type):
            message = f"Column {field.name} is nested, which CSV cannot carry; use --format ndjson."
            raise CommandError(message, ExitCode.USAGE)
    return schema


def print_rows(schema: pa.Schema, batches: Iterable[pa.RecordBatch], limit: int = TABLE_ROWS) -> None:
    """Print the first rows as a table; say so if there are more."""
    rows: list[tuple[Any, ...]] = []
    for batch in batches:
        rows += zip(*(column.to_pylist() for column in batch.slice(0, limit + 1 - len(rows)).columns), strict=True)
        if len(rows) > limit:
            break
    stdout.print(rows_table(schema, rows[:limit]))
    if len(rows) > limit:
        stderr.print(f"[dim]The first {limit} rows; --format csv writes all.[/]")


def rows_table(schema: pa.Schema, rows: Iterable[Iterable[Any]]) -> Table:
    """Return a table of these rows, numbers to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for field in schema:
        number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_decimal(field.type)
        table.add_column(Text(field.name), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(NULL if value is None else _cell(value) for value in row))
    return table


def _cell(value: Any) -> Text:
    return Text(f"{value:.6g}" if isinstance(value, float) else str(value))


def facts_table(facts: Iterable[tuple[str, str]]) -> Table:
    """Return a borderless table of names and values."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for key, value in facts:
        table.add_row(key, value)
    return table


def readable_bytes(count: int) -> str:
    """Return a size for people, such as ``12.4 MB``."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:  # noqa: PLR2004 (the decimal unit)
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
