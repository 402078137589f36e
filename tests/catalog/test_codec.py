import io
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lakes import SCHEMA, TRIPS, objects

from catalog import DATASETS, OBJECTS, CommitRecord, ErrorKind, IngestKey, LakehouseError, Manifest
from catalog.codec import FORMAT_VERSION, check_writable, decode_manifest, decode_root, encode_manifest, encode_root
from catalog.model import Root

AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
MANIFEST = Manifest(
    dataset_id="d",
    name=TRIPS,
    schema_fingerprint="v1:ab",
    schema=SCHEMA,
    objects=objects(3, 4),
    created_at=AT,
    updated_at=AT + timedelta(microseconds=1),
    row_count=7,
    version=2,
    parent="catalog/manifests/d/e1/x.parquet",
    commit_id="c2",
    operation="append",
    author="ann",
    log=(CommitRecord(1, "c1", AT, "create", 3, 0), CommitRecord(2, "c2", AT, "append", 4, 0)),
    ingest_keys=(IngestKey("k", "b", "c2", 2, 9, 4, AT),),
    producers={"p": 5, "a": 0},
)
ROOT = Root(
    version=3,
    commit_id="c3",
    parent_commit_id="c2",
    committed_at=AT,
    epoch=4,
    gc_floor=2,
    history_floor=1,
    datasets=pa.Table.from_pylist(
        [
            {
                "dataset_id": "d",
                "schema": "main",
                "name": "trips",
                "state": "active",
                "manifest": "m",
                "version": 2,
                "schema_fingerprint": "v1:ab",
                "row_count": 7,
                "bytes": 700,
                "object_count": 2,
                "created_at": AT,
                "updated_at": AT,
            }
        ],
        DATASETS,
    ),
    schemas=frozenset({"main", "raw"}),
)


def corrupt(manifest: Manifest, **changes) -> bytes:
    """Encode a manifest with other values in some columns, past all checks."""
    table = pq.read_table(pa.BufferReader(encode_manifest(manifest)))
    for name, column in changes.items():
        index = table.column_names.index(name)
        table = table.set_column(index, name, column) if column is not None else table.drop_columns([name])
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def error_of(data: bytes) -> LakehouseError:
    with pytest.raises(LakehouseError) as caught:
        decode_manifest(data, "catalog/manifests/d/x")
    return caught.value


def test_a_manifest_comes_back_as_it_went_in():
    assert decode_manifest(encode_manifest(MANIFEST), "k") == MANIFEST


def test_a_manifest_without_objects_and_history_comes_back():
    bare = replace(
        MANIFEST, objects=OBJECTS.empty_table(), row_count=0, log=(), ingest_keys=(), producers={}, parent=None
    )
    assert decode_manifest(encode_manifest(bare), "k") == bare


def test_statistics_of_columns_come_back():
    statistics = [{"field_id": 1, "null_count": None, "min": b"\0", "max": None, "exact": False}]
    table = objects(7)
    table = table.set_column(7, OBJECTS.field(7), pa.array([statistics], OBJECTS.field(7).type))
    manifest = replace(MANIFEST, objects=table)
    assert decode_manifest(encode_manifest(manifest), "k").objects == table


def test_the_first_columns_of_a_manifest_are_those_that_were_promised():
    names = pq.read_schema(pa.BufferReader(encode_manifest(MANIFEST))).names
    promised = ["dataset_id", "name", "schema_fingerprint", "objects", "created_at", "updated_at", "row_count"]
    assert names[:7] == promised


def test_a_root_comes_back_as_it_went_in():
    assert decode_root(encode_root(ROOT), "k") == ROOT


def test_a_row_count_that_does_not_add_up_is_neither_written_nor_read():
    with pytest.raises(LakehouseError, match="row_count"):
        encode_manifest(replace(MANIFEST, row_count=8))
    error = error_of(corrupt(MANIFEST, row_count=pa.array([8], pa.int64())))
    assert (error.kind, error.code) == (ErrorKind.INTERNAL, "catalog_corrupt")
    assert "catalog/manifests/d/x" in error.message


@pytest.mark.parametrize(
    "key",
    [
        "catalog/root.parquet",
        "/etc/passwd",
        "data/../catalog/root.parquet",
        "data/d/e1/..",
        "data/d/e1/a/b",
        "http://x/data/d/e1/a",
    ],
)
def test_a_key_outside_the_data_is_neither_written_nor_read(key):
    foreign = objects(3).set_column(0, OBJECTS.field(0), pa.array([key]))
    with pytest.raises(LakehouseError, match="outside"):
        encode_manifest(replace(MANIFEST, objects=foreign, row_count=3))
    column = pa.array(
        [foreign.to_pylist()], pq.read_schema(pa.BufferReader(encode_manifest(MANIFEST))).field("objects").type
    )
    data = corrupt(MANIFEST, objects=column, row_count=pa.array([3], pa.int64()))
    assert error_of(data).code == "catalog_corrupt"


def test_an_object_is_in_a_manifest_once():
    table = objects(3)
    with pytest.raises(LakehouseError, match="twice"):
        encode_manifest(replace(MANIFEST, objects=pa.concat_tables([table, table]), row_count=6))


@pytest.mark.parametrize(
    "changes",
    [
        {"log": None},
        {"version": pa.array(["2"])},
        {"commit_id": pa.array([None], pa.string())},
        {"schemas": pa.array([[]], pa.list_(pa.struct([("id", pa.int32()), ("ipc", pa.binary())])))},
    ],
)
def test_a_manifest_that_lacks_something_is_corrupt(changes):
    assert error_of(corrupt(MANIFEST, **changes)).code == "catalog_corrupt"


def test_a_manifest_of_a_later_minor_format_is_read_past_what_is_new():
    data = corrupt(MANIFEST)
    table = pq.read_table(pa.BufferReader(data)).append_column("novelty", pa.array([1]))
    sink = io.BytesIO()
    pq.write_table(table, sink)
    assert decode_manifest(sink.getvalue(), "k") == MANIFEST


def test_a_format_that_needs_a_newer_reader_is_refused_politely():
    error = error_of(corrupt(MANIFEST, min_reader=pa.array([FORMAT_VERSION + 1], pa.int32()), log=None))
    assert (error.kind, error.code) == (ErrorKind.UNIMPLEMENTED, "format_too_new")


def test_a_root_that_needs_a_newer_reader_is_refused_politely():
    table = pq.read_table(pa.BufferReader(encode_root(ROOT)))
    facts = table.schema.metadata[b"lakehouse.root"].replace(b'"min_reader": 1', b'"min_reader": 2')
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"lakehouse.root": facts}), sink)
    with pytest.raises(LakehouseError) as caught:
        decode_root(sink.getvalue(), "k")
    assert caught.value.code == "format_too_new"


def test_what_needs_a_newer_writer_is_read_but_not_replaced():
    root = decode_root(encode_root(replace(ROOT, min_writer=FORMAT_VERSION + 1)), "k")
    with pytest.raises(LakehouseError) as caught:
        check_writable(root)
    assert caught.value.code == "format_too_new"


@pytest.mark.parametrize("what", ["root", "manifest"])
def test_damaged_bytes_are_corrupt_or_harmless_but_never_something_else(what):
    """Cut and flip at many places. Page checksums find damage in values; the footer is found by what follows from it."""
    data = encode_root(ROOT) if what == "root" else encode_manifest(MANIFEST)
    decode = decode_root if what == "root" else decode_manifest
    random.seed(7)
    damaged = [data[:cut] for cut in (0, 1, 4, len(data) // 2, len(data) - 1)]
    for _ in range(300):
        place = random.randrange(len(data))
        damaged.append(data[:place] + bytes([data[place] ^ 1 << random.randrange(8)]) + data[place + 1 :])
    outcomes = {outcome_of(decode, version) for version in damaged}
    assert "catalog_corrupt" in outcomes
    assert outcomes <= {"catalog_corrupt", "format_too_new", "fine"}


def outcome_of(decode, data: bytes) -> str:
    try:
        decode(data, "k")
    except LakehouseError as error:
        return error.code
    return "fine"
