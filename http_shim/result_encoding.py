"""From a query's Arrow stream to the bytes of an answer, one generator per format.

JSON is encoded by the server: the bytes of its text column go out as they are. Every generator ends its query when it is
closed, and lets an error through: the transport then cuts the answer off, so that nobody takes it for a whole one.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.csv as pa_csv

from clients import Client, JsonScalar, LakehouseClientError, QueryResult

from .byte_sink import ByteSink
from .cell_text import flat_batch, flat_schema
from .negotiation import ResultFormat
from .text_table import text_table

_SEPARATOR = b",\n"
"""What the server writes before each row's object in the format "json"."""


@dataclass(frozen=True, slots=True)
class SqlRequest:
    """One statement to run."""

    sql: str
    params: Sequence[JsonScalar] = ()
    read_only: bool = False


def encoded(
    client: Client, request: SqlRequest, result_format: ResultFormat, *, max_table_rows: int
) -> Iterator[bytes]:
    """Run the statement and return the generator of its answer. Parquet is a file, and not made here."""
    if result_format is ResultFormat.JSON:
        return _json_array(
            client.query_text(request.sql, request.params, text_format="json", read_only=request.read_only)
        )
    if result_format is ResultFormat.NDJSON:
        return _ndjson(
            client.query_text(request.sql, request.params, text_format="ndjson", read_only=request.read_only)
        )
    result = client.query(request.sql, request.params, read_only=request.read_only)
    if result_format is ResultFormat.CSV:
        return _csv(result)
    if result_format is ResultFormat.ARROW:
        return _arrow_stream(result)
    return text_table(result, max_table_rows)


def _json_array(buffers: Iterator[pa.Buffer]) -> Iterator[bytes]:
    opened = False
    for buffer in buffers:
        if buffer.size == 0:
            continue
        yield buffer.to_pybytes() if opened else b"[" + memoryview(buffer)[len(_SEPARATOR) :]
        opened = True
    yield b"]" if opened else b"[]"


def _ndjson(buffers: Iterator[pa.Buffer]) -> Iterator[bytes]:
    begun = False
    try:
        for buffer in buffers:
            yield buffer.to_pybytes()
            begun = True
    except LakehouseClientError as error:
        if begun:
            yield json.dumps({"error": {"code": error.code, "detail": error.message}}).encode() + b"\n"
        raise


def _csv(result: QueryResult) -> Iterator[bytes]:
    schema = flat_schema(result.schema)
    sink = ByteSink()
    with result, pa_csv.CSVWriter(sink, schema) as writer:
        for batch in result:
            writer.write_batch(flat_batch(batch, schema))
            yield sink.take()
        yield sink.take()  # the header, when there was no row


def _arrow_stream(result: QueryResult) -> Iterator[bytes]:
    sink = ByteSink()
    with result:
        writer = pa.ipc.new_stream(sink, result.schema)
        for batch in result:
            writer.write_batch(batch)
            yield sink.take()
        writer.close()  # not on an error: a stream without its end marker is seen to be cut off
        yield sink.take()
