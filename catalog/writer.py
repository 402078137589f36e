"""Rows of one ingest become Parquet objects on the store.

The caller's thread collects batches into chunks; worker threads encode each chunk as one object, so several objects are
under way at once and every core encodes. What fits into one chunk is written by the caller's thread, without any worker.
Objects are listed in the order of their chunks: a scan gives the rows in the order of the stream.

Nothing here deletes: objects of an ingest that fails are garbage which no snapshot refers to.
"""

import os
from threading import Thread
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from .chunk_queue import ChunkQueue
from .chunks import Chunk, ChunkBuffer
from .data_object import write_data_object
from .errors import ErrorKind, LakehouseError
from .model import OBJECTS
from .paths import data_key
from .schema import DEFAULT_LIMITS
from .settings import WriterSettings
from .store import ObjectStore, StoreError

MAX_DEFAULT_THREADS = 4
"""More encoders than these are not kept busy by one stream, and each holds a chunk in memory."""


class DatasetWriter:
    """Writes batches of a dataset's schema as data objects. For one thread; a context manager that aborts unless closed.

    Memory is bounded by ``settings.object_bytes`` of Arrow data per encoder and once more for the chunk that fills, plus
    what each encoder and upload buffers.

    Attributes:
        rows: rows taken so far.
        bytes: bytes of the finished objects on the store; known after :meth:`close`.
    """

    def __init__(
        self,
        store: ObjectStore,
        dataset_id: str,
        epoch: int,
        schema: pa.Schema,
        settings: WriterSettings = DEFAULT_LIMITS,
    ) -> None:
        self._store = store
        self._dataset_id = dataset_id
        self._epoch = epoch
        self._schema = schema
        self._settings = settings
        self._threads = settings.threads or min(os.cpu_count() or 1, MAX_DEFAULT_THREADS)
        self._buffer = ChunkBuffer(schema, settings.object_bytes)
        self._queue = ChunkQueue(self._threads * settings.object_bytes)
        self._workers: list[Thread] = []
        self._objects: list[tuple[int, dict[str, Any]]] = []
        self._ended = False
        self.rows = 0
        self.bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Take a batch of exactly the dataset's schema; wait while too many bytes are under way.

        Raises:
            LakehouseError: store_unavailable, perhaps about rows of an earlier call.
        """
        assert not self._ended, "the writer is closed"
        assert batch.schema.equals(self._schema), "the batch has another schema than the dataset"
        self._queue.check()
        for chunk in self._buffer.add(batch):
            if len(self._workers) < self._threads:
                self._start_worker()
            self._queue.put(chunk)
        self.rows += batch.num_rows

    def close(self) -> pa.Table:
        """Store all rows and return the new objects, a table of OBJECTS in the order of their first rows.

        Raises:
            LakehouseError: store_unavailable.
        """
        assert not self._ended, "the writer is closed"
        rest = self._buffer.rest()
        if self._workers:
            self._finish_workers(rest)
        elif rest is not None:
            self._write_object(rest)
        self._ended = True
        rows = [row for _, row in sorted(self._objects, key=lambda numbered: numbered[0])]
        self.bytes = sum(row["bytes"] for row in rows)
        return pa.Table.from_pylist(rows, schema=OBJECTS)

    def abort(self) -> None:
        """Give up: abort the uploads under way and wait for the workers. Idempotent."""
        if not self._ended:
            self._ended = True
            self._queue.fail(LakehouseError(ErrorKind.CANCELLED, "cancelled", "the ingest was given up"))
            self._join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.abort()

    def _start_worker(self) -> None:
        worker = Thread(target=self._work, name=f"encoder-{len(self._workers)}", daemon=True)
        self._workers.append(worker)
        worker.start()

    def _finish_workers(self, rest: Chunk | None) -> None:
        if rest is not None:
            self._queue.put(rest)
        self._queue.close()
        self._join()
        self._queue.check()

    def _join(self) -> None:
        for worker in self._workers:
            worker.join()

    def _work(self) -> None:
        try:
            while (chunk := self._queue.get()) is not None:
                self._write_object(chunk)
                self._queue.done(chunk)
                del chunk  # or its rows would stay in memory while this waits for the next
        except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
            self._queue.fail(error)

    def _write_object(self, chunk: Chunk) -> None:
        key = data_key(self._dataset_id, self._epoch, chunk.number)
        try:
            row = write_data_object(self._store, key, self._epoch, chunk.table, self._settings)
        except StoreError as error:
            raise _store_unavailable(error) from error
        self._objects.append((chunk.number, row))


def _store_unavailable(error: StoreError) -> LakehouseError:
    return LakehouseError(ErrorKind.UNAVAILABLE, "store_unavailable", f"The rows could not be stored: {error}.")
