"""The rows of one running query."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.types as pat
from duckdb import DuckDBPyRelation

from catalog import ErrorKind, LakehouseError

from .encoding import Encoding, cast_sql
from .failures import is_fatal, translate
from .instance import Instance
from .parameters import Values
from .watch import Watch

_VECTOR_ROWS = 2048
_MAX_ROWS = 122_880
_MESSAGES_AT_ONCE = 16
_ASSUMED_BYTES = 24
_BITS_PER_BYTE = 8


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Limits of a stream.

    Attributes:
        message_bytes: what a batch should stay below.
        row_bytes: what a batch of one row must stay below.
        run_seconds: how long the engine may work on the statement, waiting for the reader not counted.
        stall_seconds: how long the reader may take between two batches.
        crowded_stall_seconds: the same while other statements wait.
        is_crowded: whether other statements wait.
    """

    message_bytes: int
    row_bytes: int
    run_seconds: float
    stall_seconds: float
    crowded_stall_seconds: float
    is_crowded: Callable[[], bool]


class _State(Enum):
    WAITING = auto()
    WORKING = auto()
    CLOSED = auto()


class DuckDBStream:
    """Iterates a query's batches in an instance of its own.

    Args:
        instance: where the query runs, with everything bound.
        encoding: what runs, and the stream's schema.
        rows: values of the parameters, one item per execution.
        limits: of time and size.
        watch: keeps the time.
        on_close: takes the instance back; called once, with whether it may be used again.
    """

    def __init__(
        self,
        instance: Instance,
        encoding: Encoding,
        rows: Sequence[Values | None],
        limits: StreamLimits,
        watch: Watch,
        on_close: Callable[[bool], None],
    ) -> None:
        self._instance = instance
        self._encoding = encoding
        self._rows = rows
        self._limits = limits
        self._watch = watch
        self._on_close = on_close
        self._lock = threading.Lock()
        self._state = _State.WAITING
        self._ending: LakehouseError | None = None
        self._healthy = True
        self._worked_seconds = 0.0
        self._deadline = time.monotonic() + limits.stall_seconds
        self._batches: Iterator[pa.RecordBatch] | None = self._run()
        watch.add(self)

    @property
    def schema(self) -> pa.Schema:
        """The schema of every batch."""
        return self._encoding.schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self

    def __next__(self) -> pa.RecordBatch:
        began = self._begin()
        try:
            assert self._batches is not None
            return next(self._batches)
        except StopIteration:
            self._finish(began)
            self.close()
            raise
        except Exception as error:  # noqa: BLE001 DuckDB and pyarrow raise all kinds of errors
            raise self._failed(error) from None
        finally:
            self._finish(began)

    def cancel(self) -> None:
        """Stop the query; the iterating thread gets CANCELLED. From any thread; idempotent."""
        self._end(LakehouseError(ErrorKind.CANCELLED, "cancelled", "The statement was cancelled."))

    def check(self, now: float) -> None:
        """Stop the query if it works, or its reader waits, for too long."""
        if self._ending is not None:
            self._interrupt_again()
            return
        if now < self._deadline and not self._blocks_others(now):
            return
        if self._state is _State.WORKING:
            error = LakehouseError(
                ErrorKind.TIMEOUT,
                "statement_timeout",
                f"The statement ran for more than {self._limits.run_seconds:g} seconds.",
            )
        else:
            error = LakehouseError(
                ErrorKind.TIMEOUT,
                "stream_stalled",
                "Nobody read the result for too long: read it faster, or ask again.",
            )
        self._end(error)

    def _interrupt_again(self) -> None:
        """Interrupt a query that was stopped and still works: DuckDB forgets an interrupt that comes as it begins."""
        with self._lock:
            if self._state is _State.WORKING:
                self._instance.interrupt()

    def _blocks_others(self, now: float) -> bool:
        """Tell whether the reader pauses while other statements wait for the instance that it holds."""
        limits = self._limits
        paused_since = self._deadline - limits.stall_seconds
        too_long = self._state is _State.WAITING and now - paused_since >= limits.crowded_stall_seconds
        return too_long and limits.is_crowded()

    def close(self) -> None:
        """Free what the query holds; cancel it if it runs. Idempotent."""
        with self._lock:
            if self._state is _State.CLOSED:
                return
            if self._state is _State.WORKING:
                # Another thread is inside DuckDB: it frees everything when it comes back.
                self._ending = self._ending or _closed()
                self._instance.interrupt()
                return
            self._state = _State.CLOSED
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self) -> float:
        """Enter DuckDB, unless the stream has ended."""
        with self._lock:
            if self._ending is not None:
                raise self._ending
            if self._state is _State.CLOSED:
                raise StopIteration
            now = time.monotonic()
            self._deadline = now + max(self._limits.run_seconds - self._worked_seconds, 0)
            self._state = _State.WORKING
            return now

    def _finish(self, began: float) -> None:
        """Leave DuckDB."""
        with self._lock:
            if self._state is not _State.WORKING:
                return
            now = time.monotonic()
            self._worked_seconds += now - began
            self._deadline = now + self._limits.stall_seconds
            self._state = _State.WAITING
            ended = self._ending is not None
        if ended:
            self.close()

    def _end(self, error: LakehouseError) -> None:
        """Stop the query for a reason that the reader will see."""
        with self._lock:
            if self._state is _State.CLOSED or self._ending is not None:
                return
            self._ending = error
            if self._state is _State.WORKING:
                self._instance.interrupt()
                return
        self.close()

    def _failed(self, error: Exception) -> LakehouseError:
        """Say why the query failed: because it was stopped, the store failed, or DuckDB says so."""
        self._healthy = self._healthy and not is_fatal(error)
        with self._lock:
            ending = self._ending
            failure = ending or self._instance.filesystem.failure
            if failure is None:
                failure = translate(error, wrapped=self._encoding.wrapped, names=self._encoding.schema.names)
            self._ending = failure
        return failure

    def _release(self) -> None:
        self._watch.remove(self)
        batches, self._batches = self._batches, None
        try:
            if batches is not None:
                batches.close()  # type: ignore[attr-defined]  # it is a generator
            if self._ending is not None:
                self._healthy = self._healthy and self._instance.is_usable()
        except Exception:  # noqa: BLE001 whatever a half-read result raises, the instance is discarded
            self._healthy = False
        self._on_close(self._healthy)

    def _run(self) -> Iterator[pa.RecordBatch]:
        schema = self._encoding.schema
        rows_per_batch = batch_rows(schema, self._limits.message_bytes)
        for values in self._rows:
            reader = self._open(values, rows_per_batch)
            try:
                same = reader.schema == schema
                for read in reader:
                    batch = read if same else pa.RecordBatch.from_arrays(read.columns, schema=schema)
                    yield from split(batch, self._limits.message_bytes, self._limits.row_bytes)
            finally:
                reader.close()

    def _open(self, values: Values | None, rows_per_batch: int) -> pa.RecordBatchReader:
        """Start one execution."""
        encoding = self._encoding
        relation = self._relation(encoding.sql, values)
        if encoding.projection is not None:
            relation = relation.project(encoding.projection)
        reader = relation.to_arrow_reader(rows_per_batch)
        if reader.schema.types == encoding.schema.types:
            return reader
        # A null among the parameters changed a column's type: bring it back to what was announced.
        reader.close()
        return self._relation(cast_sql(encoding.sql, encoding.types), values).to_arrow_reader(rows_per_batch)

    def _relation(self, sql: str, values: Values | None) -> DuckDBPyRelation:
        connection = self._instance.connection
        return connection.sql(sql, params=values) if values else connection.sql(sql)


def batch_rows(schema: pa.Schema, message_bytes: int) -> int:
    """Return how many rows of a schema to ask DuckDB for at once.

    Its large batches cost much less per row than small ones: a third of the time of a whole scan. So several messages
    are asked for at once, then cut.
    """
    row_bytes = max(sum(map(_value_bytes, schema.types)), 1 / _BITS_PER_BYTE)
    rows = int(_MESSAGES_AT_ONCE * message_bytes / row_bytes)
    return min(max(rows // _VECTOR_ROWS, 1) * _VECTOR_ROWS, _MAX_ROWS)


def split(batch: pa.RecordBatch, message_bytes: int, row_bytes: int) -> Iterator[pa.RecordBatch]:
    """Cut a batch into even slices below ``message_bytes``, and again where some rows are larger than others.

    Raises:
        LakehouseError: TOO_LARGE ``row_too_large``.
    """
    size = batch.nbytes
    if size <= message_bytes:
        yield batch
        return
    if batch.num_rows <= 1:
        if size > row_bytes:
            raise LakehouseError(
                ErrorKind.TOO_LARGE,
                "row_too_large",
                f"A row of the result takes {size} bytes; at most {row_bytes} can be sent.",
            )
        yield batch
        return
    rows = max(batch.num_rows // -(-size // message_bytes), 1)
    if rows > _BITS_PER_BYTE:
        rows -= rows % _BITS_PER_BYTE  # bitmaps are cut at whole bytes
    for start in range(0, batch.num_rows, rows):
        yield from split(batch.slice(start, rows), message_bytes, row_bytes)


def _value_bytes(kind: pa.DataType) -> float:
    """Return the bytes that a value takes, validity included; a guess where they vary."""
    validity = 1 / _BITS_PER_BYTE
    if pat.is_fixed_size_list(kind):
        return validity + int(kind.list_size) * _value_bytes(kind.value_type)
    if pat.is_struct(kind):
        return validity + sum(_value_bytes(field.type) for field in kind)
    if pat.is_null(kind):
        return 0
    try:
        return validity + int(kind.bit_width) / _BITS_PER_BYTE
    except ValueError:
        return validity + _ASSUMED_BYTES


def _closed() -> LakehouseError:
    return LakehouseError(ErrorKind.CANCELLED, "cancelled", "The result was closed while the statement ran.")
