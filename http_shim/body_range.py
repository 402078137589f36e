"""A stretch of an uploaded body, as a file of its own.

The HTTP server has spooled the whole body before we see it (in memory if small, else in a temporary file). A part of it is
read where it lies: any number of readers, each with its own position, from any thread, and no second copy.
"""

import io
import os
import threading
from typing import Any, BinaryIO


class SpooledBody:
    """The whole body of a request: a file on disk, or bytes in memory. Close it when the request ends.

    A reader that a library still holds in a thread of its own then finds it closed, and not a file that was given
    the same number by the operating system.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._memory = memoryview(b"")
        self._descriptor = -1
        if isinstance(stream, io.BytesIO):
            self._memory = stream.getbuffer()
            self.size = len(self._memory)
        else:
            stream.flush()
            self._descriptor = os.dup(stream.fileno())
            self.size = os.fstat(self._descriptor).st_size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the bytes from an offset on, fewer at the end."""
        with self._lock:
            if self._closed:
                raise ValueError("the request is over")
            if self._descriptor < 0:
                return bytes(self._memory[offset : offset + length])
            return os.pread(self._descriptor, length, offset)

    def close(self) -> None:
        """Let go of the body."""
        with self._lock:
            if not self._closed and self._descriptor >= 0:
                os.close(self._descriptor)
            self._memory.release()
            self._closed = True


class BodyRange(io.RawIOBase):
    """The bytes from ``start`` to ``stop`` of a body, as a read-only file."""

    def __init__(self, body: SpooledBody, start: int = 0, stop: int | None = None) -> None:
        super().__init__()
        self._body = body
        self._start = start
        self._stop = body.size if stop is None else stop
        self._position = start
        self.size = self._stop - self._start
        self.mode = "rb"

    def reopen(self) -> "BodyRange":
        """Return another file over the same bytes, at its beginning."""
        return BodyRange(self._body, self._start, self._stop)

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position - self._start

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position."""
        base = {io.SEEK_SET: self._start, io.SEEK_CUR: self._position, io.SEEK_END: self._stop}[whence]
        self._position = max(self._start, base + offset)
        return self.tell()

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to ``size`` bytes, or all that are left."""
        left = max(0, self._stop - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        data = self._body.read_at(self._position, wanted) if wanted else b""
        self._position += len(data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
