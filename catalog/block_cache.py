"""A cache of remote data objects on the local disk.

Objects are immutable, so a block that is named by key, etag and number is never stale. Blocks live in slots of one
nameless file, which the system frees when the process ends, however it ends. Small ranges (footers, indexes), which every
query reads again, stay in memory as they were asked for.
"""

import os
import tempfile
import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import pairwise
from pathlib import Path

from .errors import ErrorKind, LakehouseError
from .local_files import Descriptor
from .settings import CacheSettings
from .store import ObjectStore, StoreError, StoreUnavailableError

BlockName = tuple[str, str, int]
"""Key, etag and number of a block."""


class BlockCache:
    """Reads ranges of immutable objects, fetching each missing block once. Safe for use from several threads."""

    def __init__(self, store: ObjectStore, settings: CacheSettings) -> None:
        self._store = store
        self._block_bytes = settings.block_bytes
        self._small_bytes = settings.memory_range_bytes
        self._small = _SmallRanges(settings.memory_bytes)
        self._slots = _Slots(settings)
        self._fetching: dict[BlockName, Future[bytes]] = {}
        self._lock = threading.Lock()

    def read(self, key: str, etag: str, size: int, offset: int, length: int) -> bytes:
        """Read ``length`` bytes from ``offset`` of an object of ``size`` bytes; fewer only at its end."""
        end = min(offset + length, size)
        if offset >= end:
            return b""
        if end - offset > self._small_bytes:
            return self._read_blocks(key, etag, size, offset, end)
        name = (key, etag, offset, end)
        data = self._small.get(name)
        if data is None:
            data = self._read_blocks(key, etag, size, offset, end)
            self._small.put(name, data)
        return data

    def _read_blocks(self, key: str, etag: str, size: int, offset: int, end: int) -> bytes:
        """Assemble a range: from the disk, from what others are fetching, and from GETs of our own for the rest."""
        windows = self._windows(offset, end)
        pieces = {number: self._slots.read((key, etag, number), window) for number, window in windows.items()}
        ours: list[int] = []
        awaited: dict[int, Future[bytes]] = {}
        with self._lock:
            for number in [number for number, piece in pieces.items() if piece is None]:
                name = (key, etag, number)
                if name in self._fetching:
                    awaited[number] = self._fetching[name]
                    continue
                # Whoever fetches keeps the block first and withdraws the promise then: so look again.
                pieces[number] = self._slots.read(name, windows[number])
                if pieces[number] is None:
                    awaited[number] = self._fetching[name] = Future()
                    ours.append(number)
        self._fetch(key, etag, size, ours)
        for number, future in awaited.items():
            pieces[number] = future.result()[windows[number]]
        return b"".join(piece for piece in pieces.values() if piece is not None)

    def _windows(self, offset: int, end: int) -> dict[int, slice]:
        """Return the blocks that a range touches, and which part of each it covers."""
        block_bytes = self._block_bytes
        return {
            number: slice(max(offset - number * block_bytes, 0), min(end - number * block_bytes, block_bytes))
            for number in range(offset // block_bytes, (end - 1) // block_bytes + 1)
        }

    def _fetch(self, key: str, etag: str, size: int, numbers: list[int]) -> None:
        """Fetch blocks, adjacent ones with one GET, and keep the promise of each: its bytes, or the error."""
        promised = [(key, etag, number) for number in numbers]
        try:
            for run in _runs(numbers):
                for name, block in self._get_blocks(key, etag, size, run):
                    self._slots.write(name, block)
                    self._withdraw(name).set_result(block)
                    promised.remove(name)
        except BaseException as error:
            for name in promised:
                self._withdraw(name).set_exception(
                    error if isinstance(error, StoreError) else StoreUnavailableError("a read was interrupted")
                )
            raise

    def _get_blocks(self, key: str, etag: str, size: int, run: range) -> Iterator[tuple[BlockName, bytes]]:
        start, stop = run.start * self._block_bytes, min(run.stop * self._block_bytes, size)
        data = self._store.get_range(key, start, stop - start)
        if len(data) != stop - start:
            raise StoreUnavailableError("an object is shorter than the catalog says")
        for number in run:
            begin = number * self._block_bytes - start
            yield (key, etag, number), data[begin : begin + self._block_bytes]

    def _withdraw(self, name: BlockName) -> Future[bytes]:
        with self._lock:
            return self._fetching.pop(name)


class _SmallRanges:
    """The most recently used small ranges, in memory, bounded by their bytes."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._ranges: OrderedDict[tuple[str, str, int, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: tuple[str, str, int, int]) -> bytes | None:
        with self._lock:
            data = self._ranges.get(name)
            if data is not None:
                self._ranges.move_to_end(name)
            return data

    def put(self, name: tuple[str, str, int, int], data: bytes) -> None:
        with self._lock:
            self._bytes += len(data) - len(self._ranges.pop(name, b""))
            self._ranges[name] = data
            while self._bytes > self._limit_bytes:
                self._bytes -= len(self._ranges.popitem(last=False)[1])


class _Slot:
    """A place in the file that holds one block. A new object for every block that moves in."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class _Slots:
    """The most recently used blocks, in the slots of one file."""

    def __init__(self, settings: CacheSettings) -> None:
        self._block_bytes = settings.block_bytes
        self._file = _nameless_file(settings.directory or _default_directory())
        self._count = max(1, settings.limit_bytes // settings.block_bytes)
        self._free: list[int] = []
        self._used = 0
        self._slots: OrderedDict[BlockName, _Slot] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, name: BlockName, window: slice) -> bytes | None:
        """Read a part of a block, if it is here."""
        with self._lock:
            slot = self._slots.get(name)
            if slot is None:
                return None
            self._slots.move_to_end(name)
        length = window.stop - window.start
        data = os.pread(self._file.number, length, slot.number * self._block_bytes + window.start)
        with self._lock:  # the block may have been evicted and its slot written over in the meantime
            return data if self._slots.get(name) is slot and len(data) == length else None

    def write(self, name: BlockName, block: bytes) -> None:
        """Keep a block, in place of the one that was not used for longest. A full disk only means not to keep it."""
        slot = self._take_slot()
        try:
            kept = os.pwrite(self._file.number, block, slot.number * self._block_bytes) == len(block)
        except OSError:
            kept = False
        with self._lock:
            if kept and name not in self._slots:
                self._slots[name] = slot
            else:
                self._free.append(slot.number)

    def _take_slot(self) -> _Slot:
        with self._lock:
            if self._free:
                return _Slot(self._free.pop())
            if self._used < self._count or not self._slots:
                self._used += 1
                return _Slot(self._used - 1)
            return _Slot(self._slots.popitem(last=False)[1].number)


def _default_directory() -> Path:
    disk = Path("/var/tmp")  # noqa: S108 - on many systems /tmp is memory; the file has no name there anyway
    return disk if disk.is_dir() else Path(tempfile.gettempdir())


def _nameless_file(directory: Path) -> Descriptor:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"lakehouse-blocks-{uuid.uuid4().hex}"
        file = Descriptor(str(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        path.unlink()
    except OSError as error:
        raise LakehouseError(
            ErrorKind.INVALID_ARGUMENT,
            "invalid_cache_directory",
            f"The cache's folder is not usable: {error.strerror}.",
        ) from error
    return file


def _runs(numbers: list[int]) -> Iterator[range]:
    """Group ascending numbers into runs of adjacent ones."""
    if not numbers:
        return
    start = numbers[0]
    for number, following in pairwise(numbers):
        if following != number + 1:
            yield range(start, number + 1)
            start = following
    yield range(start, numbers[-1] + 1)
