"""What a query answers: a stream of record batches, read as it arrives."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any, Self

import pyarrow as pa
import pyarrow.flight as fl

from .errors import translated


class QueryResult:
    """The rows of one query. Iterate over it, or read it whole; close it (or use ``with``) if you stop early."""

    def __init__(self, reader: fl.FlightStreamReader) -> None:
        self._reader = reader
        with translated():
            self.schema: pa.Schema = reader.schema

    def __repr__(self) -> str:
        columns = ", ".join(f"{field.name}: {field.type}" for field in self.schema)
        return f"<QueryResult of {columns}>"

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while True:
            with translated():
                try:
                    batch = self._reader.read_chunk().data
                except StopIteration:
                    return
            if batch is not None:
                yield batch

    def to_reader(self) -> pa.RecordBatchReader:
        """Return the rest of the rows as a reader, for libraries that take one."""
        return pa.RecordBatchReader.from_batches(self.schema, iter(self))

    def to_table(self) -> pa.Table:
        """Read all rows into memory."""
        return pa.Table.from_batches(iter(self), self.schema)

    def to_pandas(self, **options: Any) -> Any:
        """Read all rows into a pandas DataFrame; options are those of ``pyarrow.Table.to_pandas``."""
        return self.to_table().to_pandas(**options)

    def to_polars(self) -> Any:
        """Read all rows into a polars DataFrame. Needs polars, which is not a dependency of this package."""
        return import_module("polars").from_arrow(self.to_table())

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Export the rest of the rows to any library that speaks the Arrow PyCapsule interface."""
        return self.to_reader().__arrow_c_stream__(requested_schema)

    def close(self) -> None:
        """Tell the server that no more rows are wanted. Harmless at the end."""
        self._reader.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def value_bytes(column: pa.Array) -> pa.Buffer:
    """Return the bytes of all values of a utf8 column, one after another, without copying them."""
    if len(column) == 0:
        return pa.py_buffer(b"")
    _, offsets, values = column.buffers()
    ends = memoryview(offsets).cast("B").cast("q" if pa.types.is_large_string(column.type) else "i")
    start, stop = ends[column.offset], ends[column.offset + len(column)]
    return values.slice(start, stop - start) if values is not None else pa.py_buffer(b"")
