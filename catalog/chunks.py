"""Collect record batches of any size into chunks that each become one data object."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

SMALL_ROWS = 4096
SMALL_BATCHES = 64


@dataclass(frozen=True)
class Chunk:
    """The rows of one data object; ``number`` counts from 0 in the order of the stream, ``bytes`` are Arrow's."""

    number: int
    table: pa.Table
    bytes: int


class ChunkBuffer:
    """Batches that wait for their chunk to fill.

    Small batches are copied together as they come: held one by one, a stream of single rows would take a thousand
    times the memory that its bytes say.
    """

    def __init__(self, schema: pa.Schema, max_bytes: int) -> None:
        self._schema = schema
        self._max_bytes = max_bytes
        self._number = 0
        self._batches: list[pa.RecordBatch] = []
        self._small: list[pa.RecordBatch] = []
        self._rows = 0
        self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> Iterator[Chunk]:
        """Take a batch and yield the chunks that it fills."""
        while batch.num_rows:
            size = batch.nbytes
            rows = self._fitting_rows(batch.num_rows, size)
            self._append(batch.slice(0, rows), size * rows // batch.num_rows)
            batch = batch.slice(rows)
            if self._bytes >= self._max_bytes or batch.num_rows:
                yield self._chunk()

    def rest(self) -> Chunk | None:
        """Return the rows that did not fill a chunk, if any."""
        return self._chunk() if self._rows else None

    def _fitting_rows(self, rows: int, size: int) -> int:
        """Return how many of a batch's rows fit; at least one, so that a huge row is taken too."""
        left = self._max_bytes - self._bytes
        return rows if size <= left else max(rows * left // size, 1)

    def _append(self, batch: pa.RecordBatch, size: int) -> None:
        self._rows += batch.num_rows
        self._bytes += size
        if batch.num_rows < SMALL_ROWS:
            self._small.append(batch)
            if len(self._small) < SMALL_BATCHES:
                return
            self._small = [pa.concat_batches(self._small)]
            if self._small[0].num_rows < SMALL_ROWS:
                return
        self._batches += self._small
        self._small = []
        if batch.num_rows >= SMALL_ROWS:
            self._batches.append(batch)

    def _chunk(self) -> Chunk:
        chunk = Chunk(self._number, pa.Table.from_batches(self._batches + self._small, self._schema), self._bytes)
        self._number += 1
        self._batches, self._small, self._rows, self._bytes = [], [], 0, 0
        return chunk
