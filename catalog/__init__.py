"""The catalog: snapshots, commits and data objects of a lake, on any object store."""

from .block_cache import BlockCache
from .casting import cast_batch, check_castable
from .credentials import S3Access, find_access
from .errors import ErrorKind, LakehouseError
from .exactly_once import find_replay
from .keys import InvalidKeyError
from .lake import Lake, SnapshotRecord
from .local import LocalStore
from .memory import MemoryStore
from .model import (
    COLUMN_STATISTICS,
    DATASETS,
    OBJECTS,
    CommitRecord,
    CommitResult,
    DatasetEntry,
    DatasetName,
    IdempotencyKey,
    IngestKey,
    Manifest,
    ProducerSequence,
)
from .names import (
    DEFAULT_SCHEMA,
    check_dataset_name,
    check_lake_name,
    check_schema_name,
    parse_dataset_name,
    quote_identifier,
)
from .open_store import open_store
from .paths import data_key, new_dataset_id
from .physical import physical_differs, physical_type
from .probe import probe_conditional_writes
from .pruning import Predicate, prune
from .reader import DirectReader, ObjectReader
from .s3 import S3Store
from .schema import fingerprint, storable_schema
from .settings import (
    CacheSettings,
    CommitSettings,
    LakeSettings,
    S3Credentials,
    StoreSettings,
    WriterSettings,
)
from .snapshot import Snapshot, dataset_not_found
from .statistics import object_statistics
from .store import (
    Blob,
    Condition,
    IfAbsent,
    IfMatch,
    ObjectInfo,
    ObjectNotFoundError,
    ObjectStore,
    PreconditionFailedError,
    StoreError,
    StoreUnavailableError,
    Upload,
    WriteConflictError,
)
from .transaction import Transaction
from .writer import DatasetWriter

__all__ = [
    "COLUMN_STATISTICS",
    "DATASETS",
    "DEFAULT_SCHEMA",
    "OBJECTS",
    "Blob",
    "BlockCache",
    "CacheSettings",
    "CommitRecord",
    "CommitResult",
    "CommitSettings",
    "Condition",
    "DatasetEntry",
    "DatasetName",
    "DatasetWriter",
    "DirectReader",
    "ErrorKind",
    "IdempotencyKey",
    "IfAbsent",
    "IfMatch",
    "IngestKey",
    "InvalidKeyError",
    "Lake",
    "LakeSettings",
    "LakehouseError",
    "LocalStore",
    "Manifest",
    "MemoryStore",
    "ObjectInfo",
    "ObjectNotFoundError",
    "ObjectReader",
    "ObjectStore",
    "PreconditionFailedError",
    "Predicate",
    "ProducerSequence",
    "S3Access",
    "S3Credentials",
    "S3Store",
    "Snapshot",
    "SnapshotRecord",
    "StoreError",
    "StoreSettings",
    "StoreUnavailableError",
    "Transaction",
    "Upload",
    "WriteConflictError",
    "WriterSettings",
    "cast_batch",
    "check_castable",
    "check_dataset_name",
    "check_lake_name",
    "check_schema_name",
    "data_key",
    "dataset_not_found",
    "find_access",
    "find_replay",
    "fingerprint",
    "new_dataset_id",
    "object_statistics",
    "open_store",
    "parse_dataset_name",
    "physical_differs",
    "physical_type",
    "probe_conditional_writes",
    "prune",
    "quote_identifier",
    "storable_schema",
]
