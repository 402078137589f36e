"""Rows in: one upload, visible as a whole or not at all.

pyarrow cannot cancel a DoPut: an upload that breaks off in the client ends, for the server, as a whole one does. So an
upload says ``explicit_commit`` and is only committed if its last message is ``{"commit": true, "rows": N}``. A client
that fails, stops or dies before that leaves nothing behind.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from typing import Any

import pyarrow as pa
import pyarrow.flight as fl

from .errors import ErrorKind, LakehouseClientError, translated

MESSAGE_BYTES = 2 << 20
"""Largest record batch that is sent; a single row may be larger."""

Progress = Callable[[int, int], None]
"""Called with the rows and the bytes that have been sent so far."""


@dataclass(frozen=True, slots=True)
class IngestResult:
    """The server's answer to a committed upload.

    Attributes:
        rows: rows that this upload added.
        bytes: size of its data objects on the store.
        objects: how many they are.
        snapshot: version of the lake that holds the rows.
        version: version of the dataset.
        replayed: True if the idempotency key was seen before and nothing was added.
    """

    dataset_id: str
    name: str
    schema: str
    lake: str
    rows: int
    bytes: int
    objects: int
    snapshot: int | None
    version: int | None
    replayed: bool


def as_reader(data: Any) -> pa.RecordBatchReader:
    """Return a reader over anything that is Arrow data: a reader, a table, a batch, a data frame, ….

    Raises:
        TypeError: it has no Arrow interface.
    """
    if isinstance(data, pa.RecordBatchReader):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.RecordBatchReader.from_batches(data.schema, [data])
    if hasattr(data, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(data)
    if isinstance(data, str | PathLike):
        raise TypeError("pass a table, or a pandas or polars frame; for a file use the command `lakehouse ingest`")
    raise TypeError(f"{type(data).__name__} is not Arrow data: pass a table, or a pandas or polars frame")


def slices(batch: pa.RecordBatch, limit_bytes: int = MESSAGE_BYTES) -> Iterator[pa.RecordBatch]:
    """Cut a batch, without copying, until no piece of more than one row is larger than the limit."""
    if batch.num_rows <= 1 or batch.nbytes <= limit_bytes:
        yield batch
        return
    half = batch.num_rows // 2
    yield from slices(batch.slice(0, half), limit_bytes)
    yield from slices(batch.slice(half), limit_bytes)


def upload(
    client: fl.FlightClient,
    uri: str,
    options: fl.FlightCallOptions,
    command: dict[str, Any],
    data: pa.RecordBatchReader,
    progress: Progress | None,
) -> IngestResult:
    """Send the rows, ask for the commit and return the server's answer."""
    descriptor = fl.FlightDescriptor.for_command(json.dumps(command | {"explicit_commit": True}))
    with translated(uri):
        writer, acknowledgements = client.do_put(descriptor, data.schema, options)
    try:
        rows = _send(writer, uri, data, progress)
        return _commit(writer, uri, acknowledgements, rows)
    finally:
        # Without the commit message the server discards the upload, and says so; the error that counts is on its way.
        with suppress(pa.ArrowException, fl.FlightError):
            writer.close()


def _send(writer: fl.FlightStreamWriter, uri: str, data: pa.RecordBatchReader, progress: Progress | None) -> int:
    rows = sent_bytes = 0
    for batch in data:
        for piece in slices(batch):
            with translated(uri):
                writer.write_batch(piece)
            rows += piece.num_rows
            sent_bytes += piece.nbytes
            if progress is not None:
                progress(rows, sent_bytes)
    return rows


def _commit(
    writer: fl.FlightStreamWriter, uri: str, acknowledgements: fl.FlightMetadataReader, rows: int
) -> IngestResult:
    with translated(uri):
        writer.write_metadata(json.dumps({"commit": True, "rows": rows}).encode())
        writer.done_writing()
        answer = acknowledgements.read()
        writer.close()  # raises what the server answered instead of an acknowledgement
    if answer is None:
        raise LakehouseClientError(
            "no_acknowledgement", "the server did not say what it did", ErrorKind.OUTCOME_UNKNOWN
        )
    return IngestResult(**{name: value for name, value in json.loads(answer.to_pybytes()).items() if name in _FIELDS})


_FIELDS = frozenset(IngestResult.__dataclass_fields__)
