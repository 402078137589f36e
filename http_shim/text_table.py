"""A query's answer as a table for people's terminals."""

from collections.abc import Iterator

import pyarrow as pa

from clients import QueryResult

from .cell_text import display_text

_ESCAPES = {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t", 0x1B: "\\e"}


def text_table(result: QueryResult, max_rows: int) -> Iterator[bytes]:
    """Yield the first rows of the answer in aligned columns, numbers to the right, and a last line that counts them."""
    with result:
        table, more = _first_rows(result, max_rows)
    names = [name.translate(_ESCAPES) for name in table.schema.names]
    cells = [[text.translate(_ESCAPES) for text in _texts(column)] for column in table.columns]
    widths = [max(map(len, [name, *column])) for name, column in zip(names, cells, strict=True)]
    to_the_right = [_is_number(column.type) for column in table.columns]

    def line(values: tuple[str, ...]) -> bytes:
        padded = [
            value.rjust(width) if right else value.ljust(width)
            for value, width, right in zip(values, widths, to_the_right, strict=True)
        ]
        return " | ".join(padded).rstrip().encode() + b"\n"

    yield line(tuple(names)) + "-+-".join("-" * width for width in widths).encode() + b"\n"
    yield b"".join(line(row) for row in zip(*cells, strict=True))
    count = f"(the first {max_rows} rows)" if more else f"({table.num_rows} row{'' if table.num_rows == 1 else 's'})"
    yield count.encode() + b"\n"


def _first_rows(result: QueryResult, max_rows: int) -> tuple[pa.Table, bool]:
    batches: list[pa.RecordBatch] = []
    rows = 0
    for batch in result:
        batches.append(batch)
        rows += batch.num_rows
        if rows > max_rows:
            break
    return pa.Table.from_batches(batches, result.schema).slice(0, max_rows), rows > max_rows


def _texts(column: pa.ChunkedArray) -> list[str]:
    return [text for chunk in column.chunks for text in display_text(chunk)]


def _is_number(arrow_type: pa.DataType) -> bool:
    return bool(pa.types.is_integer(arrow_type) or pa.types.is_floating(arrow_type) or pa.types.is_decimal(arrow_type))
