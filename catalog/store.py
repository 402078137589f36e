"""The seam between the catalog and an object store.

A store is a flat map from keys to immutable byte strings with conditional writes, as S3 defines them. Keys are
relative to the lake's prefix, use ``/`` as separator and never start with one. Implementations: ``memory.py``,
``local.py``, ``s3.py``; all of them pass one contract suite.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self


class StoreError(Exception):
    """Base of everything that a store raises."""


class ObjectNotFoundError(StoreError):
    """The key does not exist."""


class PreconditionFailedError(StoreError):
    """The condition of a write does not hold: the key exists, or its etag is another one, or it is gone.

    The write *may still be our own earlier attempt*: the caller resolves this, the store does not.
    """


class WriteConflictError(StoreError):
    """Another write of the key was in flight and this one did not land (S3: 409). Read again, then repeat."""


class StoreUnavailableError(StoreError):
    """The store did not answer, answered 5xx or refused us. After a write, the outcome is unknown."""


@dataclass(frozen=True, slots=True)
class Blob:
    """The bytes of one object together with the version (etag) that they were read at."""

    data: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a listing says of one object: key, size in bytes, etag (opaque)."""

    key: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class IfAbsent:
    """Write only if the key does not exist (S3: ``If-None-Match: *``)."""


@dataclass(frozen=True, slots=True)
class IfMatch:
    """Write only if the key's current etag is this one (S3: ``If-Match``)."""

    etag: str


Condition = IfAbsent | IfMatch


class Upload(Protocol):
    """A streaming upload of one object. Nothing is visible until :meth:`complete` returns.

    As a context manager it aborts an upload that was not completed. Not safe for use from several threads at once.
    """

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes. Memory held is bounded by the store's part size, not by the object's."""
        ...

    def complete(self) -> ObjectInfo:
        """Publish the object, create-if-absent. Raises PreconditionFailedError if the key exists."""
        ...

    def abort(self) -> None:
        """Give the upload up and free its parts. Idempotent; never raises; never touches a published object."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class ObjectStore(Protocol):
    """An object store with conditional writes. Safe for use from several threads."""

    def get(self, key: str) -> Blob:
        """Read a whole object. Raises ObjectNotFoundError, StoreUnavailableError."""
        ...

    def get_if_changed(self, key: str, etag: str) -> Blob | None:
        """Read a whole object unless its etag still is the given one (then None). Raises as :meth:`get`."""
        ...

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """Read ``length`` bytes from ``offset``; fewer only at the object's end. Raises as :meth:`get`."""
        ...

    def head(self, key: str) -> ObjectInfo:
        """Describe one object. Raises as :meth:`get`."""
        ...

    def put(self, key: str, data: bytes, condition: Condition) -> str:
        """Write a whole object under a condition, sent to the store exactly once; return its etag.

        Raises PreconditionFailedError, WriteConflictError, StoreUnavailableError (outcome unknown).
        """
        ...

    def open_upload(self, key: str) -> Upload:
        """Begin a streaming upload, create-if-absent."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """List all objects whose key begins with ``prefix``, in key order, page by page."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; keys that do not exist are fine. For garbage collection only."""
        ...
