"""The catalog: snapshots, commits and data objects of a lake, on any object store."""

from .block_cache import BlockCache
from .credentials import S3Access, find_access
from .errors import ErrorKind, LakehouseError
from .keys import InvalidKeyError
from .local import LocalStore
from .memory import MemoryStore
from .open_store import open_store
from .probe import probe_conditional_writes
from .reader import DirectReader, ObjectReader
from .s3 import S3Store
from .settings import (
    CacheSettings,
    CommitSettings,
    LakeSettings,
    S3Credentials,
    StoreSettings,
    WriterSettings,
)
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

__all__ = [
    "Blob",
    "BlockCache",
    "CacheSettings",
    "CommitSettings",
    "Condition",
    "DirectReader",
    "ErrorKind",
    "IfAbsent",
    "IfMatch",
    "InvalidKeyError",
    "LakeSettings",
    "LakehouseError",
    "LocalStore",
    "MemoryStore",
    "ObjectInfo",
    "ObjectNotFoundError",
    "ObjectReader",
    "ObjectStore",
    "PreconditionFailedError",
    "S3Access",
    "S3Credentials",
    "S3Store",
    "StoreError",
    "StoreSettings",
    "StoreUnavailableError",
    "Upload",
    "WriteConflictError",
    "WriterSettings",
    "find_access",
    "open_store",
    "probe_conditional_writes",
]
