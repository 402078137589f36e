"""The writer stores every row once, in order where it says so, in bounded memory, and cleans up after itself."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog import (
    DatasetWriter,
    ErrorKind,
    IfAbsent,
    LakehouseError,
    LocalStore,
    MemoryStore,
    ObjectInfo,
    PreconditionFailedError,
    StoreUnavailableError,
    Upload,
    WriterSettings,
    cast_batch,
    storable_schema,
)
from catalog.model import OBJECTS

MIB = 1 << 20
SCHEMA = storable_schema(pa.schema([("n", pa.int64()), ("s", pa.string())]))
LIMIT = 60
"""Seconds after which a thread that should have ended counts as stuck."""


def rows(start: int, count: int) -> pa.RecordBatch:
    numbers = np.arange(start, start + count)
    return pa.RecordBatch.from_arrays([pa.array(numbers), pa.array(numbers).cast(pa.string())], schema=SCHEMA)


def write(store, batches, **settings) -> pa.Table:
    with DatasetWriter(store, "dataset", 3, SCHEMA, WriterSettings(**settings)) as writer:
        for batch in batches:
            writer.write(batch)
        objects = writer.close()
        assert writer.rows == sum(batch.num_rows for batch in batches)
        assert writer.bytes == sum(objects["bytes"].to_pylist())
    return objects


def read(store, objects: pa.Table) -> list[int]:
    numbers: list[int] = []
    for row in objects.select(["key", "rows", "bytes", "etag"]).to_pylist():
        blob = store.get(row["key"])
        assert (len(blob.data), blob.etag) == (row["bytes"], row["etag"])
        table = pq.read_table(io.BytesIO(blob.data))
        assert table.num_rows == row["rows"]
        assert table["s"].cast(pa.int64()).equals(table["n"])
        numbers += table["n"].to_pylist()
    return numbers


@pytest.fixture(params=["memory", "local"])
def store(request, tmp_path):
    return MemoryStore() if request.param == "memory" else LocalStore(tmp_path, fsync=False)


def test_a_small_ingest_is_one_object_written_without_a_thread(store):
    before = threading.active_count()
    with DatasetWriter(store, "dataset", 3, SCHEMA) as writer:
        writer.write(rows(0, 10))
        writer.write(rows(10, 0))
        writer.write(rows(10, 5))
        assert threading.active_count() == before
        objects = writer.close()
    assert objects.schema.equals(OBJECTS)
    assert objects.select(["rows", "epoch", "added_version", "schema_id"]).to_pylist() == [
        {"rows": 15, "epoch": 3, "added_version": 0, "schema_id": 0}
    ]
    assert objects["key"][0].as_py().startswith("data/dataset/e3/")
    assert read(store, objects) == list(range(15))


@pytest.mark.parametrize("batches", [[], [rows(0, 0)]], ids=["no batch", "an empty batch"])
def test_no_rows_make_no_object(store, batches):
    objects = write(store, batches)
    assert objects.num_rows == 0
    assert objects.schema.equals(OBJECTS)
    assert list(store.list("")) == []


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", [1, 7, 1000, 4096, 200_000])
def test_rows_keep_the_order_of_the_stream_over_many_objects(store, size, threads):
    count = min(200_000, size * 300)
    batches = [rows(i, min(size, count - i)) for i in range(0, count, size)]
    objects = write(store, batches, threads=threads, object_bytes=MIB)
    assert read(store, objects) == list(range(count))
    assert size < 1000 or objects.num_rows > 2


def test_an_object_is_closed_at_its_size_in_memory(store):
    objects = write(store, [rows(0, 300_000)], object_bytes=MIB)
    sizes = [pq.read_table(io.BytesIO(store.get(key).data)).nbytes for key in objects["key"].to_pylist()]
    assert max(sizes) <= 1.1 * MIB
    assert min(sizes[:-1]) > 0.9 * MIB


def test_a_row_that_is_larger_than_an_object_gets_one_of_its_own(store):
    schema = storable_schema(pa.schema([("b", pa.binary())]))
    batch = pa.RecordBatch.from_arrays([pa.array([bytes(2 * MIB)] * 3)], schema=schema)
    with DatasetWriter(store, "dataset", 0, schema, WriterSettings(object_bytes=MIB)) as writer:
        writer.write(batch)
        assert writer.close()["rows"].to_pylist() == [1, 1, 1]


def test_a_row_group_is_closed_at_its_rows():
    store = MemoryStore()
    objects = write(store, [rows(0, 2500)], row_group_rows=1000)
    footer = pq.ParquetFile(io.BytesIO(store.get(objects["key"][0].as_py()).data)).metadata
    assert [footer.row_group(i).num_rows for i in range(footer.num_row_groups)] == [1000, 1000, 500]


def test_the_parquet_is_what_the_documents_say():
    store = MemoryStore()
    objects = write(store, [rows(0, 10)])
    footer = pq.ParquetFile(io.BytesIO(store.get(objects["key"][0].as_py()).data)).metadata
    column = footer.row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert column.has_offset_index
    assert column.has_column_index
    assert footer.metadata is None


@pytest.mark.parametrize("codec", ["zstd", "snappy", "lz4", "none"])
def test_every_codec_of_the_settings_works(codec):
    store = MemoryStore()
    assert read(store, write(store, [rows(0, 100)], compression=codec)) == list(range(100))


def test_a_stream_of_single_rows_is_not_held_as_single_batches():
    with DatasetWriter(MemoryStore(), "d", 0, SCHEMA) as writer:
        for i in range(10_000):
            writer.write(rows(i, 1))
        held = writer._buffer
        assert len(held._batches) + len(held._small) < 200
        assert writer.close()["rows"].to_pylist() == [10_000]


class GatedStore(MemoryStore):
    """Uploads wait at their first write until the gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.uploads: list[Upload] = []

    def open_upload(self, key: str) -> Upload:
        upload = super().open_upload(key)
        plain_write = upload.write

        def write(data: bytes | memoryview) -> None:
            assert self.gate.wait(LIMIT)
            plain_write(data)

        upload.write = write
        self.uploads.append(upload)
        return upload


def test_the_sender_waits_while_too_many_bytes_are_under_way():
    store = GatedStore()
    settings = WriterSettings(threads=2, object_bytes=MIB)
    taken: list[int] = []
    over = threading.Event()
    batch = rows(0, 10_000)

    def send() -> None:
        with DatasetWriter(store, "d", 0, SCHEMA, settings) as writer:
            for _ in range(100):
                writer.write(batch)
                taken.append(batch.nbytes)
                if sum(taken) > 6 * settings.object_bytes:
                    over.set()
            writer.close()

    sender = threading.Thread(target=send)
    sender.start()
    # Nothing tells that a thread has come to wait: that it does not go on is seen only by looking for a while.
    assert not over.wait(0.5)
    assert sum(taken) <= 3 * settings.object_bytes + batch.nbytes
    store.gate.set()
    sender.join(LIMIT)
    assert len(taken) == 100


class FailingStore(MemoryStore):
    """Fails one kind of call of an upload, from the n-th byte or at once."""

    def __init__(self, step: str, after_bytes: int = 0) -> None:
        super().__init__()
        self.step = step
        self.after_bytes = after_bytes
        self.aborted = 0
        self.opened = 0

    def open_upload(self, key: str) -> Upload:
        self.opened += 1
        if self.step == "open":
            raise StoreUnavailableError("no")
        upload = super().open_upload(key)
        plain_write, plain_abort, written = upload.write, upload.abort, [0]

        def write(data: bytes | memoryview) -> None:
            written[0] += len(data)
            if self.step == "write" and written[0] > self.after_bytes:
                raise StoreUnavailableError("no")
            plain_write(data)

        def complete() -> ObjectInfo:
            raise StoreUnavailableError("no")

        def abort() -> None:
            self.aborted += 1
            plain_abort()

        upload.write, upload.abort = write, abort
        if self.step == "complete":
            upload.complete = complete
        return upload


@contextmanager
def refused() -> Iterator[None]:
    with pytest.raises(LakehouseError) as caught:
        yield
    assert (caught.value.kind, caught.value.code) == (ErrorKind.UNAVAILABLE, "store_unavailable")


@pytest.mark.parametrize("step", ["open", "write", "complete"])
def test_a_store_that_fails_fails_a_small_ingest_at_close(step):
    store = FailingStore(step)
    with DatasetWriter(store, "d", 0, SCHEMA) as writer:
        writer.write(rows(0, 10))
        with refused():
            writer.close()
    assert list(store.list("")) == []
    assert step == "open" or store.aborted >= 1


@pytest.mark.parametrize(("step", "after"), [("open", 0), ("write", 0), ("write", 100_000), ("complete", 0)])
def test_a_store_that_fails_in_a_worker_fails_a_later_call(step, after):
    store = FailingStore(step, after)
    threads = threading.active_count()
    with refused(), DatasetWriter(store, "d", 0, SCHEMA, WriterSettings(threads=2, object_bytes=MIB)) as writer:
        for i in range(100):
            writer.write(rows(i * 10_000, 10_000))
        writer.close()
    assert threading.active_count() == threads
    assert list(store.list("")) == []
    assert step == "open" or store.aborted >= store.opened


def test_a_failure_of_the_callers_own_leaves_no_thread_behind():
    store = FailingStore("never")
    threads = threading.active_count()
    writer = DatasetWriter(store, "d", 0, SCHEMA, WriterSettings(threads=2, object_bytes=MIB))
    with suppress(ZeroDivisionError), writer:
        for i in range(50):
            writer.write(rows(i * 10_000, 10_000))
        raise ZeroDivisionError
    assert threading.active_count() == threads
    assert store.opened > 0
    writer.abort()


def test_objects_that_were_finished_before_a_failure_are_left_alone():
    store = MemoryStore()
    settings = WriterSettings(threads=1, object_bytes=MIB)
    noise = np.random.default_rng(1)
    with suppress(ZeroDivisionError), DatasetWriter(store, "d", 0, SCHEMA, settings) as writer:
        while not list(store.list("")):
            numbers = pa.array(noise.integers(0, 2**60, 100_000))
            writer.write(pa.RecordBatch.from_arrays([numbers, numbers.cast(pa.string())], schema=SCHEMA))
        raise ZeroDivisionError
    assert len(list(store.list(""))) >= 1


class ForgetfulStore(MemoryStore):
    """Publishes an object and answers as if somebody else had: what a retry after a lost answer sees."""

    def __init__(self, *, foreign: bool) -> None:
        super().__init__()
        self.foreign = foreign

    def open_upload(self, key: str) -> Upload:
        upload = super().open_upload(key)
        plain_complete = upload.complete

        def complete() -> ObjectInfo:
            if self.foreign:
                self.put(key, b"another", IfAbsent())
            else:
                plain_complete()
            raise PreconditionFailedError(key)

        upload.complete = complete
        return upload


def test_an_upload_whose_answer_was_lost_counts_if_the_object_is_ours():
    store = ForgetfulStore(foreign=False)
    assert read(store, write(store, [rows(0, 10)])) == list(range(10))
    with refused():
        write(ForgetfulStore(foreign=True), [rows(0, 10)])


def test_every_kind_of_column_survives_several_row_groups_and_threads():
    kinds = {
        "i": pa.array([(1, 2, 3000), None], pa.month_day_nano_interval()),
        "l": pa.array([[1, None], None], pa.list_(pa.int8(), 2)),
        "d": pa.array(["a", None]).dictionary_encode(),
        "n": pa.nulls(2),
    }
    batch = pa.record_batch(list(kinds.values()), list(kinds))
    schema = storable_schema(batch.schema)
    store = MemoryStore()
    with DatasetWriter(store, "d", 0, schema, WriterSettings(threads=2, row_group_rows=3)) as writer:
        for _ in range(10):
            writer.write(cast_batch(batch, schema))
        objects = writer.close()
    tables = [pq.read_table(io.BytesIO(store.get(key).data)) for key in objects["key"].to_pylist()]
    found = pa.concat_tables(tables).to_pylist()
    assert sorted(map(str, found)) == sorted(
        10 * [str({"i": {"months": 1, "days": 2, "micros": 3}, "l": [1, None], "d": "a", "n": None})]
        + 10 * [str(dict.fromkeys(kinds))]
    )
