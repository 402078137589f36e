"""An object store in memory with the exact semantics of S3, for tests and experiments."""

import hashlib
import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from .keys import check_key, check_prefix
from .store import Blob, Condition, IfAbsent, ObjectInfo, ObjectNotFoundError, PreconditionFailedError


class MemoryStore:
    """A dictionary with conditional writes."""

    def __init__(self) -> None:
        self._blobs: dict[str, Blob] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> Blob:
        """Read a whole object."""
        try:
            return self._blobs[check_key(key)]
        except KeyError:
            raise ObjectNotFoundError(key) from None

    def get_if_changed(self, key: str, etag: str) -> Blob | None:
        """Read a whole object unless its etag still is the given one."""
        blob = self.get(key)
        return None if blob.etag == etag else blob

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """Read a part of an object."""
        return self.get(key).data[offset : offset + length]

    def head(self, key: str) -> ObjectInfo:
        """Describe one object."""
        blob = self.get(key)
        return ObjectInfo(key, len(blob.data), blob.etag)

    def put(self, key: str, data: bytes, condition: Condition) -> str:
        """Write a whole object under a condition."""
        blob = Blob(bytes(data), f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"')
        with self._lock:
            current = self._blobs.get(check_key(key))
            expected = None if isinstance(condition, IfAbsent) else condition.etag
            if (current.etag if current else None) != expected:
                raise PreconditionFailedError(key)
            self._blobs[key] = blob
        return blob.etag

    def open_upload(self, key: str) -> "MemoryUpload":
        """Begin a streaming upload, create-if-absent."""
        return MemoryUpload(self, check_key(key))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """List all objects whose key begins with ``prefix``, in key order."""
        check_prefix(prefix)
        with self._lock:
            found = [(key, self._blobs[key]) for key in sorted(self._blobs) if key.startswith(prefix)]
        return (ObjectInfo(key, len(blob.data), blob.etag) for key, blob in found)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; keys that do not exist are fine."""
        with self._lock:
            for key in keys:
                self._blobs.pop(check_key(key), None)


class MemoryUpload:
    """A streaming upload into a MemoryStore."""

    def __init__(self, store: MemoryStore, key: str) -> None:
        self._store = store
        self._key = key
        self._buffer: bytearray | None = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes."""
        self._open_buffer().extend(data)

    def complete(self) -> ObjectInfo:
        """Publish the object, create-if-absent."""
        data = bytes(self._open_buffer())
        etag = self._store.put(self._key, data, IfAbsent())
        self._buffer = None
        return ObjectInfo(self._key, len(data), etag)

    def abort(self) -> None:
        """Give the upload up."""
        self._buffer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.abort()

    def _open_buffer(self) -> bytearray:
        if self._buffer is None:
            raise ValueError("the upload is closed")
        return self._buffer
