"""The nouns of the catalog, as immutable values.

Lists that grow with the lake (a dataset's objects, a root's datasets) stay Arrow tables: ten thousand objects must not
become ten thousand Python objects on a query's path.
"""

from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")

COLUMN_STATISTICS = pa.struct(
    [
        pa.field("field_id", pa.int32(), nullable=False),
        pa.field("null_count", pa.int64()),
        pa.field("min", pa.binary()),
        pa.field("max", pa.binary()),
        pa.field("exact", pa.bool_(), nullable=False),
    ]
)
"""Statistics of one leaf column of one data object, from its Parquet footer. Bounds are in the binary single-value
form of the Iceberg specification (appendix D); null means unknown, and unknown never prunes."""

OBJECTS = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
        pa.field("schema_id", pa.int32(), nullable=False),
        pa.field("epoch", pa.int64(), nullable=False),
        pa.field("added_version", pa.int64(), nullable=False),
        pa.field("statistics", pa.list_(COLUMN_STATISTICS), nullable=False),
    ]
)
"""Schema of a table of data objects. ``added_version`` is 0 until the commit sets it."""

DATASETS = pa.schema(
    [
        pa.field("dataset_id", pa.string(), nullable=False),
        pa.field("schema", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("state", pa.string(), nullable=False),
        pa.field("manifest", pa.string(), nullable=False),
        pa.field("version", pa.int64(), nullable=False),
        pa.field("schema_fingerprint", pa.string(), nullable=False),
        pa.field("row_count", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("object_count", pa.int64(), nullable=False),
        pa.field("created_at", TIMESTAMP, nullable=False),
        pa.field("updated_at", TIMESTAMP, nullable=False),
    ]
)
"""Schema of the root: one row per dataset."""


@dataclass(frozen=True, slots=True, order=True)
class DatasetName:
    """The name of a dataset inside one lake."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """One row of a root: what the lake knows of a dataset without opening its manifest. ``bytes`` is on the store."""

    dataset_id: str
    name: DatasetName
    manifest: str
    version: int
    schema_fingerprint: str
    row_count: int
    bytes: int
    object_count: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """One line of a dataset's commit log."""

    version: int
    commit_id: str
    committed_at: datetime
    operation: str
    rows_added: int
    rows_removed: int


@dataclass(frozen=True, slots=True)
class IngestKey:
    """A remembered idempotency key: hashes (hex) of key and body, and the answer that was given.

    Attributes:
        version: version of the dataset that the rows came in with.
        snapshot: version of the root that first held them.
    """

    key_hash: str
    body_hash: str
    commit_id: str
    version: int
    snapshot: int
    rows: int
    committed_at: datetime


@dataclass(frozen=True, slots=True)
class Manifest:
    """One dataset at one version.

    Attributes:
        schema: Arrow schema of the dataset, with field ids in the fields' metadata (``PARQUET:field_id``).
        objects: table of OBJECTS.
        row_count: sum of the objects' rows.
        parent: key of the manifest before, or None.
        log: the newest commits, oldest first, bounded by ``commit.log_entries``.
        producers: highest sequence number per producer id, the least recently used first.
        min_writer: format that a writer has to know to replace this manifest.
    """

    dataset_id: str
    name: DatasetName
    schema_fingerprint: str
    schema: pa.Schema
    objects: pa.Table
    created_at: datetime
    updated_at: datetime
    row_count: int
    version: int
    parent: str | None
    commit_id: str
    operation: str
    author: str
    log: tuple[CommitRecord, ...] = ()
    ingest_keys: tuple[IngestKey, ...] = ()
    producers: dict[str, int] = field(default_factory=dict)
    min_writer: int = 1


@dataclass(frozen=True, slots=True)
class Root:
    """One version of a lake: the only thing that is ever overwritten.

    Attributes:
        epoch: what writers put into the keys that they upload; rises when garbage is collected.
        gc_floor: objects of an epoch below it may be gone already and must not be committed.
        history_floor: oldest version that is still kept.
        datasets: table of DATASETS, in no particular order.
        schemas: names of all schemas, ``main`` among them.
        min_writer: format that a writer has to know to replace this root.
    """

    version: int
    commit_id: str
    parent_commit_id: str | None
    committed_at: datetime
    epoch: int
    gc_floor: int
    history_floor: int
    datasets: pa.Table
    schemas: frozenset[str] = frozenset({"main"})
    min_writer: int = 1


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """What a client sent to make an ingest exactly-once: its key, and a hash (hex) of the rows."""

    key: str
    body_hash: str


@dataclass(frozen=True, slots=True)
class ProducerSequence:
    """What a streaming producer sent to make an ingest exactly-once: its id and a rising number."""

    producer_id: str
    sequence: int


@dataclass(frozen=True, slots=True)
class CommitResult:
    """The answer to a commit.

    Attributes:
        version: version of the root that holds the commit (the snapshot).
        replayed: True when nothing was done because the idempotency key or sequence number was seen before.
        rows: rows added by the commit, or by the first one when replayed.
        datasets: entries of the datasets that the commit touched and that still exist after it.
        first: when replayed, what is remembered of the first answer.
    """

    commit_id: str
    version: int
    committed_at: datetime
    replayed: bool
    rows: int
    datasets: tuple[DatasetEntry, ...]
    first: IngestKey | None = None
