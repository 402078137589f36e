"""Rows of one ingest become Parquet objects on the store.

The caller's thread collects batches into chunks of one row group each; worker threads take the chunks in turn, encode
them and stream them into objects, one open object per worker. What fits into one row group is written by the caller's
thread, without any worker. With one object, or one worker, rows come back in the order of the stream; with several,
each object holds every so-many-th chunk, in order, and objects are listed by their first row.

Nothing here deletes: objects of an ingest that fails are garbage which no snapshot refers to.
"""

import os
from threading import Thread
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from .chunk_queue import ChunkQueue
from .data_object import DataObjectWriter
from .errors import ErrorKind, LakehouseError
from .model import OBJECTS
from .paths import data_key
from .row_groups import Chunk, RowGroupBuffer
from .schema import DEFAULT_LIMITS
from .settings import WriterSettings
from .store import ObjectStore, StoreError

MAX_DEFAULT_THREADS = 4
"""More encoders than these are not kept busy by one stream, and would make row groups small."""


class DatasetWriter:
    """Writes batches of a dataset's schema as data objects. For one thread; a context manager that aborts unless closed.

    Memory is bounded by ``settings.queue_bytes`` of Arrow data, plus what each worker's encoder and upload buffer.

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
        # One chunk fills while each worker encodes another.
        chunk_bytes = min(settings.row_group_bytes, settings.queue_bytes // (self._threads + 1))
        self._buffer = RowGroupBuffer(schema, settings.row_group_rows, chunk_bytes)
        self._queue = ChunkQueue(settings.queue_bytes - chunk_bytes)
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
            self._write_alone(rest)
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

    def _open(self, number: int) -> DataObjectWriter:
        key = data_key(self._dataset_id, self._epoch, number)
        return DataObjectWriter(self._store, key, self._epoch, self._schema, self._settings)

    def _write_alone(self, chunk: Chunk) -> None:
        try:
            target = self._open(chunk.number)
            try:
                target.write(chunk.table)
                self._objects.append((chunk.number, target.close()))
            except BaseException:
                target.abort()
                raise
        except StoreError as error:
            raise _store_unavailable(error) from error

    def _work(self) -> None:
        try:
            while self._write_object():
                pass
        except StoreError as error:
            self._queue.fail(_store_unavailable(error))
        except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
            self._queue.fail(error)

    def _write_object(self) -> bool:
        """Write one object from the queue, until it is large enough or there is no more; False if there was nothing."""
        target, number = None, 0
        try:
            while target is None or target.bytes < self._settings.target_object_bytes:
                chunk = self._queue.get()
                if chunk is None:
                    break
                if target is None:
                    target, number = self._open(chunk.number), chunk.number
                target.write(chunk.table)
                self._queue.done(chunk)
                del chunk  # or its rows would stay in memory while this waits for the next
            if target is None:
                return False
            if self._queue.has_failed:
                target.abort()
            else:
                self._objects.append((number, target.close()))
            return True
        except BaseException:
            if target is not None:
                target.abort()
            raise


def _store_unavailable(error: StoreError) -> LakehouseError:
    return LakehouseError(ErrorKind.UNAVAILABLE, "store_unavailable", f"The rows could not be stored: {error}.")
