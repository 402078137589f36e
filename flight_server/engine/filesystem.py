"""The only files that DuckDB sees: a read-only file system that is a list of capabilities.

Paths are ``lake://<number>/<nnnnnn>.parquet``: the number names a binding (one dataset at one version), the rest counts
its objects. Nothing but the bindings granted to the running statement can be opened, whatever text a query contains;
object keys never reach DuckDB. Nothing can be written, moved or deleted.
"""

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from threading import get_ident
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from catalog import (
    ErrorKind,
    LakehouseError,
    Manifest,
    ObjectNotFoundError,
    ObjectReader,
    StoreUnavailableError,
    physical_type,
)

PROTOCOL = "lake"
_IMMUTABLE = datetime(2000, 1, 1, tzinfo=UTC)


class ObjectFile:
    """One data object as a seekable, read-only file.

    Each thread has a position of its own: DuckDB reads one file from several threads at once, each time by a ``seek``
    and a ``read``, and nothing keeps two threads' calls apart.
    """

    def __init__(self, reader: ObjectReader, key: str, etag: str, size: int, owner: "CapabilityFileSystem") -> None:
        self._reader = reader
        self._key = key
        self._etag = etag
        self._owner = owner
        self._positions: dict[int, int] = {}
        self.size = size
        self.closed = False

    def read(self, length: int = -1) -> bytes:
        """Read up to ``length`` bytes from the current position; all that is left if negative."""
        position = self.tell()
        left = max(self.size - position, 0)
        length = left if length < 0 else min(length, left)
        if length == 0:
            return b""
        try:
            data = self._reader.read(self._key, self._etag, self.size, position, length)
        except Exception as error:  # noqa: BLE001 whatever the store raises must not reach DuckDB
            raise self._owner.fail(error) from None
        self._positions[get_ident()] = position + len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        """Fill a writable buffer from the current position; return the number of bytes."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; return the new position."""
        if whence == io.SEEK_CUR:
            offset += self.tell()
        elif whence == io.SEEK_END:
            offset += self.size
        self._positions[get_ident()] = offset
        return offset

    def tell(self) -> int:
        """Return the calling thread's position."""
        return self._positions.get(get_ident(), 0)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return False."""
        return False

    def flush(self) -> None:
        """Do nothing: there is nothing to write."""

    def write(self, data: Any) -> NoReturn:
        """Refuse."""
        del data
        raise self._owner.fail(_read_only())

    def truncate(self, size: int | None = None) -> NoReturn:
        """Refuse."""
        del size
        raise self._owner.fail(_read_only())

    def close(self) -> None:
        """Forget the object."""
        self.closed = True


class _MemoryReader:
    """Serves the zero-row object of a dataset that has no objects."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, key: str, etag: str, size: int, offset: int, length: int) -> bytes:
        del key, etag, size
        return self._data[offset : offset + length]


class ObjectSet:
    """The data objects of one dataset at one version, as files.

    Args:
        number: unique in the file system, and never used again.
        manifest: lists the objects; a dataset without any is shown as one object with zero rows.
    """

    def __init__(self, number: int, manifest: Manifest, reader: ObjectReader) -> None:
        objects = manifest.objects
        self.pattern = f"{PROTOCOL}://{number}/*.parquet"
        self.all: Sequence[int] = range(max(objects.num_rows, 1))
        self._prefix = f"{PROTOCOL}://{number}/"
        self._selected: Sequence[int] = self.all
        if objects.num_rows:
            self._reader = reader
            self._columns = [objects.column(name).combine_chunks() for name in ("key", "etag", "bytes")]
        else:
            data = _zero_rows(manifest.schema)
            self._reader = _MemoryReader(data)
            self._columns = [pa.array([""]), pa.array([""]), pa.array([len(data)])]

    def select(self, indices: Sequence[int] | None) -> None:
        """Let only these objects be listed, in this order; None lists all. At least one must remain."""
        self._selected = self.all if indices is None else indices

    def paths(self) -> list[str]:
        """Return the paths of the listed objects; their names sort in the objects' order."""
        return [f"{self._prefix}{index:09d}.parquet" for index in self._selected]

    def open(self, index: int, owner: "CapabilityFileSystem") -> ObjectFile:
        """Open one object."""
        key, etag, size = (column[index].as_py() for column in self._columns)
        return ObjectFile(self._reader, key, etag, size, owner)

    def size(self, index: int) -> int:
        """Return an object's size in bytes."""
        return int(self._columns[2][index].as_py())


class CapabilityFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Opens what was granted, and nothing else. One per DuckDB instance, so one statement at a time."""

    protocol = PROTOCOL
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self._granted: dict[str, ObjectSet] = {}
        self.failure: LakehouseError | None = None

    def grant(self, sets: Sequence[ObjectSet]) -> None:
        """Make exactly these object sets readable, until the next call."""
        self.failure = None
        self._granted = {objects.pattern: objects for objects in sets}

    def fail(self, error: BaseException) -> BaseException:
        """Remember why a call of DuckDB failed, and return what to raise: DuckDB garbles exceptions of ours."""
        if self.failure is None:
            self.failure = _as_lakehouse_error(error)
        return OSError("refused by the lake's file system")

    def glob(self, path: str, **_: Any) -> list[str]:
        """Return the paths of a granted set for its pattern, or a granted path itself."""
        objects = self._granted.get(path)
        if objects is not None:
            return objects.paths()
        self._find(path)
        return [path]

    def open(self, path: str, mode: str = "rb", **_: Any) -> ObjectFile:
        """Open a granted object for reading."""
        if mode != "rb":
            raise self.fail(_read_only())
        objects, index = self._find(path)
        return objects.open(index, self)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Describe a granted object."""
        objects, index = self._find(path)
        return {"name": path, "size": objects.size(index), "type": "file"}

    def size(self, path: str) -> int:
        """Return the size of a granted object in bytes."""
        objects, index = self._find(path)
        return objects.size(index)

    def unstrip_protocol(self, name: str) -> str:
        """Return a path as it is: ours are always whole."""
        return name

    def exists(self, path: str, **_: Any) -> bool:
        """Return whether a path is granted."""
        return self._lookup(path) is not None

    def isfile(self, path: str) -> bool:
        """Return whether a path is granted."""
        return self._lookup(path) is not None

    def isdir(self, path: str) -> bool:
        """Return False: there are no folders."""
        del path
        return False

    def modified(self, path: str) -> datetime:
        """Return one moment for all: objects never change, so what DuckDB remembers of them stays true."""
        del path
        return _IMMUTABLE

    def ls(self, path: str, detail: bool = True, **_: Any) -> NoReturn:
        """Refuse."""
        del path, detail
        raise self.fail(_not_granted())

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise self.fail(_read_only())

    cp_file = mv = mv_file = rm = rm_file = _rm = mkdir = makedirs = rmdir = touch = put_file = pipe_file = _refuse
    copy = move = rename = delete = created = sign = get_file = _refuse

    def _find(self, path: str) -> tuple[ObjectSet, int]:
        found = self._lookup(path)
        if found is None:
            raise self.fail(_not_granted())
        return found

    def _lookup(self, path: str) -> tuple[ObjectSet, int] | None:
        folder, _, name = path.rpartition("/")
        objects = self._granted.get(f"{folder}/*.parquet")
        stem = name.removesuffix(".parquet")
        if objects is None or not (stem.isascii() and stem.isdigit() and int(stem) in objects.all):
            return None
        return objects, int(stem)


def _zero_rows(schema: pa.Schema) -> bytes:
    physical = pa.schema([field.with_type(physical_type(field.type)) for field in schema])
    sink = io.BytesIO()
    pq.write_table(physical.empty_table(), sink)
    return sink.getvalue()


def _read_only() -> LakehouseError:
    return LakehouseError(ErrorKind.PERMISSION_DENIED, "read_only", "A query cannot write to the lake's objects.")


def _not_granted() -> LakehouseError:
    return LakehouseError(ErrorKind.PERMISSION_DENIED, "permission_denied", "A query can read datasets only.")


def _as_lakehouse_error(error: BaseException) -> LakehouseError:
    match error:
        case LakehouseError():
            return error
        case ObjectNotFoundError():
            return LakehouseError(
                ErrorKind.NOT_FOUND, "snapshot_expired", "The snapshot was collected: its objects are gone. Ask again."
            )
        case StoreUnavailableError():
            return LakehouseError(ErrorKind.UNAVAILABLE, "store_unavailable", "The object store cannot be reached.")
        case _:
            return LakehouseError(ErrorKind.INTERNAL, "read_failed", "A data object could not be read.")
