"""The file system opens what was granted and does nothing else."""

import io
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from flight_server.engine.binding import resolve
from flight_server.engine.filesystem import CapabilityFileSystem, ObjectSet


@pytest.fixture
def objects(query) -> ObjectSet:
    dataset = resolve(("numbers",), query.scope())
    assert dataset is not None
    return ObjectSet(7, dataset.manifest, query.lakes[0].reader)


def test_a_granted_object_is_a_seekable_file(objects):
    system = CapabilityFileSystem()
    system.grant([objects])
    (path,) = system.glob(objects.pattern)
    size = system.info(path)["size"]
    with io.BytesIO() as copy:
        file = system.open(path)
        copy.write(file.read())
        assert copy.tell() == size == file.seek(0, io.SEEK_END)
        assert file.read(10) == b""
        assert file.seek(-4, io.SEEK_CUR) == size - 4
        assert file.read(100) == b"PAR1"
        buffer = bytearray(4)
        file.seek(0)
        assert file.readinto(buffer) == 4
        assert bytes(buffer) == b"PAR1"
        assert (file.tell(), file.readable(), file.seekable(), file.writable()) == (4, True, True, False)
        assert pa.BufferReader(copy.getvalue()).size() == size


@pytest.mark.parametrize(
    "path",
    [
        "lake://8/000000000.parquet",
        "lake://7/000000001.parquet",
        "lake://7/../8/000000000.parquet",
        "lake://7/-1.parquet",
        "lake://7/0٣.parquet",
        "lake://7/",
        "/etc/passwd",
        "",
    ],
)
def test_nothing_else_is_there(objects, path):
    system = CapabilityFileSystem()
    system.grant([objects])
    assert not system.exists(path)
    for method in (system.open, system.info, system.glob):
        with pytest.raises(OSError, match="refused"):
            method(path)
    assert system.failure is not None
    assert system.failure.code == "permission_denied"


def test_a_grant_ends_with_the_next(objects):
    system = CapabilityFileSystem()
    system.grant([objects])
    (path,) = system.glob(objects.pattern)
    system.grant([])
    assert not system.exists(path)


@pytest.mark.parametrize("mode", ["wb", "ab", "r+b", "xb", "w"])
def test_nothing_is_opened_for_writing(objects, mode):
    system = CapabilityFileSystem()
    system.grant([objects])
    (path,) = system.glob(objects.pattern)
    with pytest.raises(OSError, match="refused"):
        system.open(path, mode)
    assert system.failure is not None
    assert system.failure.code == "read_only"


@pytest.mark.parametrize(
    "method", ["rm", "rm_file", "mkdir", "makedirs", "rmdir", "touch", "mv", "copy", "cp_file", "pipe_file", "ls"]
)
def test_nothing_is_changed_or_listed(objects, method):
    system = CapabilityFileSystem()
    system.grant([objects])
    with pytest.raises(OSError, match="refused"):
        getattr(system, method)("lake://7/000000000.parquet")


def test_selected_objects_alone_are_listed(lake, query):
    lake.put("many", *(pa.table({"x": [number]}) for number in range(12)))
    dataset = resolve(("many",), query.scope())
    assert dataset is not None
    many = ObjectSet(1, dataset.manifest, query.lakes[0].reader)
    assert many.paths() == sorted(many.paths())
    many.select([3, 11])
    assert [path[-14:] for path in many.paths()] == ["000003.parquet", "000011.parquet"]
    many.select(None)
    assert len(many.paths()) == 12


def test_threads_that_share_a_file_do_not_move_each_others_position(objects):
    """DuckDB's asynchronous reads share a file: with one position, a thread would get the bytes of another."""
    system = CapabilityFileSystem()
    system.grant([objects])
    file = system.open(system.glob(objects.pattern)[0])

    def read_the_end() -> bytes:
        file.seek(-4, io.SEEK_END)
        return file.read(4)

    with ThreadPoolExecutor(1) as other:
        file.seek(0)
        assert other.submit(read_the_end).result() == b"PAR1"
        assert file.tell() == 0
        assert file.read(4) == b"PAR1"
        assert other.submit(file.tell).result() == file.size
