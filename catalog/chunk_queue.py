"""A queue between the one thread that reads a stream and the threads that encode it, bounded by bytes."""

from collections import deque
from threading import Condition

from .chunks import Chunk


class ChunkQueue:
    """Chunks that wait or are being encoded. A chunk counts until :meth:`done`.

    Args:
        limit_bytes: Arrow bytes at which :meth:`put` waits; a chunk that is larger waits until it is alone.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._changed = Condition()
        self._chunks: deque[Chunk] = deque()
        self._held_bytes = 0
        self._closed = False
        self._failure: BaseException | None = None

    def put(self, chunk: Chunk) -> None:
        """Add a chunk, waiting for room. Raises the first failure of an encoder."""
        with self._changed:
            self._changed.wait_for(lambda: self._failure is not None or self._has_room(chunk))
            self._raise_failure()
            self._chunks.append(chunk)
            self._held_bytes += chunk.bytes
            self._changed.notify_all()

    def get(self) -> Chunk | None:
        """Take a chunk, waiting for one; None when there will be no more or something failed."""
        with self._changed:
            self._changed.wait_for(lambda: self._chunks or self._closed or self._failure is not None)
            return self._chunks.popleft() if self._chunks and self._failure is None else None

    def done(self, chunk: Chunk) -> None:
        """Say that a chunk is encoded and let go of."""
        with self._changed:
            self._held_bytes -= chunk.bytes
            self._changed.notify_all()

    def close(self) -> None:
        """Say that no chunk follows."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def fail(self, failure: BaseException) -> None:
        """Give up: chunks that wait are dropped. The first failure counts."""
        with self._changed:
            self._failure = self._failure or failure
            self._chunks.clear()
            self._changed.notify_all()

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        with self._changed:
            self._raise_failure()

    def _has_room(self, chunk: Chunk) -> bool:
        return not self._held_bytes or self._held_bytes + chunk.bytes <= self._limit_bytes

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
