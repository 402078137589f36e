"""What the local store needs from a file system: unseen drafts, a lock between processes, reusable descriptors."""

import errno
import fcntl
import os
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NANOSECONDS_PER_SECOND = 1_000_000_000
_LOCK_POLL_SECONDS = 0.0005
_READ_BYTES = 1 << 30  # one read call moves at most 2 GiB on Linux


class Descriptor:
    """A file descriptor that closes when the last user lets go of it, so that no reader ever loses it in mid-read.

    Keep the object in a variable for as long as its number is in use.
    """

    __slots__ = ("number",)

    def __init__(self, path: str, flags: int, mode: int = 0o666) -> None:
        self.number = -1
        self.number = os.open(path, flags | os.O_CLOEXEC, mode)

    def __del__(self) -> None:
        if self.number >= 0:
            os.close(self.number)

    def read(self, offset: int, length: int) -> bytes:
        """Read ``length`` bytes from ``offset``; fewer only at the file's end."""
        data = os.pread(self.number, min(length, _READ_BYTES), offset)
        if len(data) == length or not data:
            return data
        parts = [data]
        while data and (missing := length - sum(map(len, parts))):
            data = os.pread(self.number, min(missing, _READ_BYTES), offset + length - missing)
            parts.append(data)
        return b"".join(parts)


class Draft:
    """A file under construction. It holds a lock on itself while it lives, so that nobody sweeps it away."""

    def __init__(self, folder: str) -> None:
        while True:
            self.path = f"{folder}/{uuid.uuid4().hex}"
            self.descriptor = Descriptor(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            # A sweep between open and lock may have taken the file for an abandoned one: then begin again.
            with suppress(BlockingIOError):
                fcntl.flock(self.descriptor.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(self.descriptor.number).st_nlink:
                    return

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes."""
        view = memoryview(data).cast("B")
        while view:
            view = view[os.write(self.descriptor.number, view) :]

    def finish(self, *, fsync: bool) -> None:
        """Give the content its time and make both durable."""
        now = time.time_ns()
        os.utime(self.descriptor.number, ns=(now, now))
        if fsync:
            os.fsync(self.descriptor.number)

    def rise_above(self, time_ns: int) -> None:
        """Move the modification time past ``time_ns``, by as much as this file system can tell apart."""
        step = 1
        while os.fstat(self.descriptor.number).st_mtime_ns <= time_ns:
            later = time_ns + step
            os.utime(self.descriptor.number, ns=(later, later))
            step = min(step * 1000, 10 * _NANOSECONDS_PER_SECOND)

    def status(self) -> os.stat_result:
        """Return the status of the file, also after it was published."""
        return os.fstat(self.descriptor.number)

    def discard(self) -> None:
        """Remove the draft; a file that was linked into place stays."""
        with suppress(OSError):
            Path(self.path).unlink()


def sweep_drafts(folder: str) -> None:
    """Remove the drafts of processes that died. Those of living ones are locked, and stay."""
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - names are what is needed
            with suppress(OSError):
                draft = Descriptor(f"{folder}/{name}", os.O_RDWR)
                fcntl.flock(draft.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                Path(folder, name).unlink()


class ReplaceLock:
    """A lock between the threads and processes of one host. It dies with its holder."""

    def __init__(self, path: str, timeout_seconds: float) -> None:
        self._path = path
        self._timeout_seconds = timeout_seconds
        self._threads = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock. Raises TimeoutError."""
        late = TimeoutError(errno.ETIMEDOUT, "the lock is held by another process")
        deadline = time.monotonic() + self._timeout_seconds
        if not self._threads.acquire(timeout=self._timeout_seconds):
            raise late
        try:
            file = Descriptor(self._path, os.O_RDWR | os.O_CREAT)
            while not _try_lock(file):
                if time.monotonic() > deadline:
                    raise late
                time.sleep(_LOCK_POLL_SECONDS)
            yield
            fcntl.flock(file.number, fcntl.LOCK_UN)
        finally:
            self._threads.release()


def _try_lock(file: Descriptor) -> bool:
    try:
        fcntl.flock(file.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class OpenFiles:
    """The most recently read files, kept open: a range read costs a stat and a pread."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._files: OrderedDict[str, tuple[Descriptor, int, int]] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, path: str) -> Descriptor:
        """Open the file that the path names now."""
        status = os.stat(path)  # noqa: PTH116 - on the path of every read
        with self._lock:
            found = self._files.get(path)
            # The file is held open, so its inode number cannot have been given to another one.
            if found is not None and found[1] == status.st_ino and found[2] == status.st_dev:
                self._files.move_to_end(path)
                return found[0]
        file = Descriptor(path, os.O_RDONLY)
        status = os.fstat(file.number)
        with self._lock:
            self._files[path] = (file, status.st_ino, status.st_dev)
            self._files.move_to_end(path)
            while len(self._files) > self._limit or self._oldest_is_deleted():
                self._files.popitem(last=False)
        return file

    def forget(self, path: str) -> None:
        """Let go of a file, so that its space is free once it is deleted."""
        with self._lock:
            self._files.pop(path, None)

    def _oldest_is_deleted(self) -> bool:
        oldest = next(iter(self._files.values()), None)
        return oldest is not None and os.fstat(oldest[0].number).st_nlink == 0
