"""An object store in a folder: atomic, durable, safe for several processes on one host.

A key is a file. Content is written to a draft under ``.lakehouse/drafts``, made durable, and then linked into place
(create) or renamed over its predecessor (replace) under a lock between processes; a file that has a key never changes. So
a reader sees whole objects only, and a process that dies leaves nothing but drafts, which the next one to start sweeps.

An etag is the file's modification time and size. Under the lock, a successor's time is always moved past its
predecessor's and read back, so no two versions of a key share an etag however coarse the clock of the file system is.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from .keys import RESERVED, check_key, check_prefix
from .local_errors import failure, unavailable
from .local_files import Descriptor, Draft, OpenFiles, ReplaceLock, sweep_drafts
from .local_upload import LocalUpload
from .store import (
    Blob,
    Condition,
    IfAbsent,
    ObjectInfo,
    ObjectNotFoundError,
    PreconditionFailedError,
)

_OPEN_FILES = 128


class LocalStore:
    """A folder of objects.

    Args:
        path: the folder; it is made if it does not exist.
        fsync: make every write durable before it is acknowledged. Off only where losing the lake does not matter.
        lock_timeout_seconds: limit on waiting for another process that replaces an object.
    """

    def __init__(self, path: Path | str, *, fsync: bool = True, lock_timeout_seconds: float = 10.0) -> None:
        self._root = str(Path(path).absolute())
        self._fsync = fsync
        self._drafts = f"{self._root}/{RESERVED}/drafts"
        self._lock = ReplaceLock(f"{self._root}/{RESERVED}/replace.lock", lock_timeout_seconds)
        self._open_files = OpenFiles(_OPEN_FILES)
        self._durable_folders: set[str] = set()
        try:
            Path(self._root).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unavailable(error) from error
        with suppress(OSError):  # the folder above may not be ours to open
            self._sync_folder(str(Path(self._root).parent))
        sweep_drafts(self._drafts)

    def get(self, key: str) -> Blob:
        """Read a whole object."""
        try:
            file = Descriptor(self._path(key), os.O_RDONLY)
            status = os.fstat(file.number)
            if stat.S_ISREG(status.st_mode):
                return Blob(file.read(0, status.st_size), _etag(status))
        except OSError as error:
            raise failure(error, key) from error
        raise ObjectNotFoundError(key)

    def get_if_changed(self, key: str, etag: str) -> Blob | None:
        """Read a whole object unless its etag still is the given one. Costs one stat then."""
        try:
            status = os.stat(self._path(key))  # noqa: PTH116 - on the path of every query
        except OSError as error:
            raise failure(error, key) from error
        return None if _etag(status) == etag else self.get(key)

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """Read a part of an object."""
        try:
            return self._open_files.open(self._path(key)).read(offset, length)
        except IsADirectoryError:
            raise ObjectNotFoundError(key) from None
        except OSError as error:
            raise failure(error, key) from error

    def head(self, key: str) -> ObjectInfo:
        """Describe one object."""
        try:
            status = Path(self._path(key)).stat()
        except OSError as error:
            raise failure(error, key) from error
        if not stat.S_ISREG(status.st_mode):
            raise ObjectNotFoundError(key)
        return ObjectInfo(key, status.st_size, _etag(status))

    def put(self, key: str, data: bytes, condition: Condition) -> str:
        """Write a whole object under a condition."""
        expected = None if isinstance(condition, IfAbsent) else condition.etag
        try:
            self._check_etag(key, expected)  # a race that is lost already needs no draft
            draft = self._new_draft()
            try:
                draft.write(data)
                draft.finish(fsync=self._fsync)
                return self._create(key, draft).etag if expected is None else self._replace(key, draft, expected)
            finally:
                draft.discard()
        except OSError as error:
            raise failure(error) from error

    def open_upload(self, key: str) -> LocalUpload:
        """Begin a streaming upload, create-if-absent."""
        self._path(key)
        try:
            return LocalUpload(key, self._new_draft(), self._publish)
        except OSError as error:
            raise failure(error) from error

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """List all objects whose key begins with ``prefix``, in key order, folder by folder."""
        folder, slash, _ = check_prefix(prefix).rpartition("/")
        return self._list_folder(f"{folder}{slash}", prefix)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; keys that do not exist are fine."""
        try:
            for key in keys:
                path = Path(self._path(key))
                if path.is_file():
                    self._make_private_folder()
                    with self._lock.held():
                        path.unlink(missing_ok=True)
                self._open_files.forget(str(path))
        except OSError as error:
            raise failure(error) from error

    def _publish(self, key: str, draft: Draft) -> ObjectInfo:
        try:
            draft.finish(fsync=self._fsync)
            return self._create(key, draft)
        except OSError as error:
            raise failure(error) from error

    def _path(self, key: str) -> str:
        return f"{self._root}/{check_key(key)}"

    def _new_draft(self) -> Draft:
        with suppress(FileNotFoundError):
            return Draft(self._drafts)
        self._make_private_folder()
        return Draft(self._drafts)

    def _make_private_folder(self) -> None:
        Path(self._drafts).mkdir(parents=True, exist_ok=True)

    def _create(self, key: str, draft: Draft) -> ObjectInfo:
        path = self._path(key)
        folder = path.rpartition("/")[0]
        self._make_durable_folder(folder)
        try:
            os.link(draft.path, path)  # the only call that creates a name for a whole file or fails
        except FileExistsError:
            raise PreconditionFailedError(key) from None
        except FileNotFoundError:
            self._durable_folders.clear()  # somebody removed the folder: make it again next time
            raise
        self._sync_folder(folder)
        status = draft.status()
        return ObjectInfo(key, status.st_size, _etag(status))

    def _replace(self, key: str, draft: Draft, etag: str) -> str:
        path = self._path(key)
        with self._lock.held():
            self._check_etag(key, etag)
            draft.rise_above(Path(path).stat().st_mtime_ns)
            Path(draft.path).replace(path)
        self._sync_folder(path.rpartition("/")[0])
        return _etag(draft.status())

    def _check_etag(self, key: str, expected: str | None) -> None:
        try:
            current = _etag(Path(self._path(key)).stat())
        except (FileNotFoundError, NotADirectoryError):
            current = None
        if current != expected:
            raise PreconditionFailedError(key)

    def _make_durable_folder(self, folder: str) -> None:
        """Make a folder and make sure that a crash cannot take it away, whoever made it. Once per process."""
        if folder in self._durable_folders:
            return
        Path(folder).mkdir(parents=True, exist_ok=True)
        parent = folder
        while parent != self._root:
            parent = parent.rpartition("/")[0]
            self._sync_folder(parent)
        self._durable_folders.add(folder)

    def _sync_folder(self, folder: str) -> None:
        if self._fsync:
            descriptor = Descriptor(folder, os.O_RDONLY)
            os.fsync(descriptor.number)

    def _list_folder(self, folder: str, prefix: str) -> Iterator[ObjectInfo]:
        try:
            with os.scandir(f"{self._root}/{folder}") as entries:
                # A folder sorts as its keys do: with the slash.
                named = sorted((f"{folder}{entry.name}{'/' * entry.is_dir()}", entry) for entry in entries)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise failure(error) from error
        for name, entry in named:
            if name == f"{RESERVED}/" or not name.startswith(prefix[: len(name)]):
                continue
            if name.endswith("/"):
                yield from self._list_folder(name, prefix)
            elif name.startswith(prefix):
                with suppress(FileNotFoundError):
                    status = entry.stat()
                    yield ObjectInfo(name, status.st_size, _etag(status))


def _etag(status: os.stat_result) -> str:
    return f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
