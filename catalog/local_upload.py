"""Streaming uploads into a folder."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from .local_errors import failure
from .local_files import Draft
from .store import ObjectInfo

_BUFFER_BYTES = 1 << 20  # small writes are collected up to here


class LocalUpload:
    """A streaming upload into a LocalStore."""

    def __init__(self, key: str, draft: Draft, publish: Callable[[str, Draft], ObjectInfo]) -> None:
        self._key = key
        self._publish = publish
        self._draft: Draft | None = draft
        self._buffer = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes."""
        draft = self._open_draft()
        view = memoryview(data).cast("B")
        if len(self._buffer) + len(view) > _BUFFER_BYTES:
            self._flush(draft)
        if len(view) > _BUFFER_BYTES:
            self._append(draft, view)
        else:
            self._buffer += view

    def complete(self) -> ObjectInfo:
        """Publish the object, create-if-absent."""
        draft = self._open_draft()
        try:
            self._flush(draft)
            return self._publish(self._key, draft)
        finally:
            self.abort()

    def abort(self) -> None:
        """Give the upload up and remove its draft; an object that was published stays."""
        if self._draft is not None:
            self._draft.discard()
            self._draft = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.abort()

    def _flush(self, draft: Draft) -> None:
        self._append(draft, self._buffer)
        self._buffer = bytearray()

    def _append(self, draft: Draft, data: bytearray | memoryview) -> None:
        try:
            draft.write(data)
        except OSError as error:
            self.abort()  # with a hole in it, it must never be published
            raise failure(error) from error

    def _open_draft(self) -> Draft:
        if self._draft is None:
            raise ValueError("the upload is closed")
        return self._draft
