"""Root and manifest, to Parquet bytes and back.

Both formats are normative (docs/storage.md). Whatever does not hold when bytes are read is ``catalog_corrupt`` with
the key in the message: nothing is ever half understood. A format that is too new for us is refused politely.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .errors import ErrorKind, LakehouseError
from .model import DATASETS, OBJECTS, TIMESTAMP, CommitRecord, DatasetName, IngestKey, Manifest, Root
from .paths import DATA_KEY_PATTERN

FORMAT_VERSION = 1
"""Format that we write, and the highest that we read."""

_ROOT_METADATA = b"lakehouse.root"


def _strict(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


_OBJECT_LIST = pa.list_(pa.field("element", pa.struct(list(OBJECTS)), nullable=False))
_SCHEMA_LIST = pa.list_(
    pa.field("element", pa.struct([_strict("id", pa.int32()), _strict("ipc", pa.binary())]), nullable=False)
)
_LOG = pa.list_(
    pa.field(
        "element",
        pa.struct(
            [
                _strict("version", pa.int64()),
                _strict("commit_id", pa.string()),
                _strict("committed_at", TIMESTAMP),
                _strict("operation", pa.string()),
                _strict("rows_added", pa.int64()),
                _strict("rows_removed", pa.int64()),
            ]
        ),
        nullable=False,
    )
)
_INGEST_KEYS = pa.list_(
    pa.field(
        "element",
        pa.struct(
            [
                _strict("key_hash", pa.string()),
                _strict("body_hash", pa.string()),
                _strict("commit_id", pa.string()),
                _strict("version", pa.int64()),
                _strict("snapshot", pa.int64()),
                _strict("rows", pa.int64()),
                _strict("committed_at", TIMESTAMP),
            ]
        ),
        nullable=False,
    )
)
_PRODUCERS = pa.list_(
    pa.field("element", pa.struct([_strict("id", pa.string()), _strict("sequence", pa.int64())]), nullable=False)
)

MANIFEST = pa.schema(
    [
        _strict("dataset_id", pa.string()),
        _strict("name", pa.string()),
        _strict("schema_fingerprint", pa.string()),
        _strict("objects", _OBJECT_LIST),
        _strict("created_at", TIMESTAMP),
        _strict("updated_at", TIMESTAMP),
        _strict("row_count", pa.int64()),
        _strict("format_version", pa.int32()),
        _strict("min_reader", pa.int32()),
        _strict("min_writer", pa.int32()),
        _strict("schema_name", pa.string()),
        _strict("version", pa.int64()),
        pa.field("parent", pa.string()),
        _strict("commit_id", pa.string()),
        _strict("operation", pa.string()),
        _strict("author", pa.string()),
        _strict("schemas", _SCHEMA_LIST),
        _strict("log", _LOG),
        _strict("ingest_keys", _INGEST_KEYS),
        _strict("producers", _PRODUCERS),
    ]
)
"""Columns of a manifest, which has one row. ``schemas`` holds Arrow schemas in IPC form; the last one is current."""


def encode_manifest(manifest: Manifest) -> bytes:
    """Encode a manifest; raise INTERNAL rather than write one that could not be read back."""
    check_objects(manifest.objects, manifest.row_count)
    row = {
        "dataset_id": manifest.dataset_id,
        "name": manifest.name.name,
        "schema_fingerprint": manifest.schema_fingerprint,
        "created_at": manifest.created_at,
        "updated_at": manifest.updated_at,
        "row_count": manifest.row_count,
        "format_version": FORMAT_VERSION,
        "min_reader": FORMAT_VERSION,
        "min_writer": manifest.min_writer,
        "schema_name": manifest.name.schema,
        "version": manifest.version,
        "parent": manifest.parent,
        "commit_id": manifest.commit_id,
        "operation": manifest.operation,
        "author": manifest.author,
        "schemas": [{"id": 0, "ipc": manifest.schema.serialize().to_pybytes()}],
        "producers": [{"id": name, "sequence": sequence} for name, sequence in manifest.producers.items()],
    }
    lists = {
        "objects": _object_list(manifest.objects),
        "log": _records(manifest.log, _LOG),
        "ingest_keys": _records(manifest.ingest_keys, _INGEST_KEYS),
    }
    columns = [
        lists[field.name] if field.name in lists else pa.array([row[field.name]], field.type) for field in MANIFEST
    ]
    return _write(pa.Table.from_arrays(columns, schema=MANIFEST))


def decode_manifest(data: bytes, key: str) -> Manifest:
    """Decode the manifest that was read from ``key``, checking everything that can be checked."""
    with _corruption(key):
        table = _read(data, MANIFEST)
        _check(table.num_rows == 1, "it has more or less than one row")
        row = table.drop_columns(["objects", "log", "ingest_keys"]).to_pylist()[0]
        struct = table.column("objects").combine_chunks().flatten()
        objects = pa.Table.from_struct_array(struct).cast(OBJECTS)
        check_objects(objects, row["row_count"])
        schemas = [pa.ipc.read_schema(pa.py_buffer(entry["ipc"])) for entry in row["schemas"]]
        return Manifest(
            dataset_id=row["dataset_id"],
            name=DatasetName(row["schema_name"], row["name"]),
            schema_fingerprint=row["schema_fingerprint"],
            schema=schemas[-1],
            objects=objects,
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            row_count=row["row_count"],
            version=row["version"],
            parent=row["parent"],
            commit_id=row["commit_id"],
            operation=row["operation"],
            author=row["author"],
            log=tuple(CommitRecord(*values) for values in _rows(table["log"])),
            ingest_keys=tuple(IngestKey(*values) for values in _rows(table["ingest_keys"])),
            producers={entry["id"]: entry["sequence"] for entry in row["producers"]},
            min_writer=row["min_writer"],
        )


def encode_root(root: Root) -> bytes:
    """Encode a root: a row per dataset, the rest as one JSON object in the file's metadata."""
    facts = {
        "format_version": FORMAT_VERSION,
        "min_reader": FORMAT_VERSION,
        "min_writer": root.min_writer,
        "version": root.version,
        "commit_id": root.commit_id,
        "parent_commit_id": root.parent_commit_id,
        "committed_at": root.committed_at.isoformat(timespec="microseconds"),
        "epoch": root.epoch,
        "gc_floor": root.gc_floor,
        "history_floor": root.history_floor,
        "schemas": sorted(root.schemas),
        "datasets": root.datasets.num_rows,
    }
    return _write(root.datasets.cast(DATASETS).replace_schema_metadata({_ROOT_METADATA: json.dumps(facts)}))


def decode_root(data: bytes, key: str) -> Root:
    """Decode the root that was read from ``key``, checking everything that can be checked."""
    with _corruption(key):
        table = _read(data, DATASETS)
        facts = json.loads(table.schema.metadata[_ROOT_METADATA])
        _check(facts["datasets"] == table.num_rows, "the number of datasets is not the one that was written")
        committed_at = datetime.fromisoformat(facts["committed_at"])
        _check(committed_at.tzinfo is not None, "committed_at has no time zone")
        return Root(
            version=int(facts["version"]),
            commit_id=str(facts["commit_id"]),
            parent_commit_id=facts["parent_commit_id"],
            committed_at=committed_at,
            epoch=int(facts["epoch"]),
            gc_floor=int(facts["gc_floor"]),
            history_floor=int(facts["history_floor"]),
            datasets=table.replace_schema_metadata(),
            schemas=frozenset(facts["schemas"]),
            min_writer=int(facts["min_writer"]),
        )


def check_writable(subject: Root | Manifest) -> None:
    """Refuse to replace what only a newer writer understands."""
    if subject.min_writer > FORMAT_VERSION:
        raise LakehouseError(
            ErrorKind.UNIMPLEMENTED,
            "format_too_new",
            f"The lake needs a writer of format {subject.min_writer}; this server writes format {FORMAT_VERSION}.",
        )


def check_objects(objects: pa.Table, row_count: int) -> None:
    """Check a table of OBJECTS: every key is a data key and there once, and the rows add up."""
    _check((pc.sum(objects["rows"]).as_py() or 0) == row_count, "row_count is not the sum of the objects' rows")
    keys = objects["key"]
    ours = pc.all(pc.match_substring_regex(keys, DATA_KEY_PATTERN)).as_py()
    _check(ours is not False, "it names an object outside data/")
    _check(pc.count_distinct(keys).as_py() == len(keys), "it names an object twice")


def _records(entries: Sequence[CommitRecord | IngestKey], kind: pa.DataType) -> pa.Array:
    """Encode one list of records, column by column: a manifest may have thousands."""
    fields = list(kind.value_type)
    columns = [pa.array([getattr(entry, field.name) for entry in entries], field.type) for field in fields]
    return _one_list(pa.StructArray.from_arrays(columns, fields=fields), kind)


def _rows(column: pa.ChunkedArray) -> Iterator[tuple[Any, ...]]:
    """Yield the values of each record of the list in a one-row column, in the order of its fields."""
    records = column.combine_chunks().flatten()
    return zip(*(values.to_pylist() for values in records.flatten()), strict=True)


def _one_list(values: pa.Array, kind: pa.DataType) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values, type=kind)


def _object_list(objects: pa.Table) -> pa.Array:
    struct = objects.combine_chunks().to_struct_array().combine_chunks()
    return _one_list(struct, _OBJECT_LIST)


def _write(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=1, write_page_checksum=True)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _read(data: bytes, expected: pa.Schema) -> pa.Table:
    """Read the columns that we know; later formats may add others. A ``min_reader`` above ours is refused first."""
    file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
    metadata = file.schema_arrow.metadata or {}
    if _ROOT_METADATA in metadata:
        _check_readable(json.loads(metadata[_ROOT_METADATA])["min_reader"])
    else:
        _check_readable(*file.read(["min_reader"])["min_reader"].to_pylist())
    table = file.read(expected.names, use_threads=False).select(expected.names)
    _check(table.schema.remove_metadata().equals(expected), "its columns are not those of the format")
    table.validate(full=True)
    _check(all(field.nullable or not table[field.name].null_count for field in expected), "a required value is missing")
    return table


def _check_readable(*min_reader: int) -> None:
    for needed in min_reader:
        if needed > FORMAT_VERSION:
            raise LakehouseError(
                ErrorKind.UNIMPLEMENTED,
                "format_too_new",
                f"The lake needs a reader of format {needed}; this server reads up to format {FORMAT_VERSION}.",
            )


def _check(holds: bool, complaint: str) -> None:
    if not holds:
        raise LakehouseError(ErrorKind.INTERNAL, "catalog_corrupt", complaint)


@contextmanager
def _corruption(key: str) -> Iterator[None]:
    """Turn whatever goes wrong while bytes are understood into ``catalog_corrupt`` that names the key."""
    try:
        yield
    except LakehouseError as error:
        if error.code == "format_too_new":
            raise
        raise _corrupt(key, error.message) from error
    except (pa.ArrowException, OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise _corrupt(key, "it cannot be decoded") from error


def _corrupt(key: str, complaint: str) -> LakehouseError:
    return LakehouseError(ErrorKind.INTERNAL, "catalog_corrupt", f"The catalog object {key} is corrupt: {complaint}.")
