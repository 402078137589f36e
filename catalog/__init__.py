"""The catalog: snapshots, commits and data objects of a lake, on any object store."""

from .errors import ErrorKind, LakehouseError
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
    "CacheSettings",
    "CommitSettings",
    "Condition",
    "ErrorKind",
    "IfAbsent",
    "IfMatch",
    "LakeSettings",
    "LakehouseError",
    "ObjectInfo",
    "ObjectNotFoundError",
    "ObjectStore",
    "PreconditionFailedError",
    "S3Credentials",
    "StoreError",
    "StoreSettings",
    "StoreUnavailableError",
    "Upload",
    "WriteConflictError",
    "WriterSettings",
]
