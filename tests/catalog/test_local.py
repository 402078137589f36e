"""What is special about the store in a folder: several processes, crashes, full disks, clocks."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from catalog import (
    IfAbsent,
    IfMatch,
    InvalidKeyError,
    LocalStore,
    PreconditionFailedError,
    StoreUnavailableError,
)

INCREMENT = """
import sys
from catalog import IfMatch, LocalStore, PreconditionFailedError
store = LocalStore(sys.argv[1])
for _ in range(30):
    while True:
        blob = store.get("counter")
        try:
            store.put("counter", b"%d" % (int(blob.data) + 1), IfMatch(blob.etag))
            break
        except PreconditionFailedError:
            pass
"""

WRITE_UNTIL_KILLED = """
import itertools, sys
from catalog import IfAbsent, IfMatch, LocalStore
store = LocalStore(sys.argv[1])
upload = store.open_upload("data/unfinished")
upload.write(b"x" * 5_000_000)
etag = store.put("root", b"0" * 100_000, IfAbsent())
for number in itertools.count(1):
    letter = b"%d" % (number % 10)
    store.put(f"data/{number}", letter * 100_000, IfAbsent())
    etag = store.put("root", letter * 100_000, IfMatch(etag))
    print(number, flush=True)
"""

FILL = """
import sys
from catalog import IfAbsent, IfMatch, LocalStore, StoreUnavailableError
folder = sys.argv[1]
store = LocalStore(folder)
etag = store.put("root", b"root", IfAbsent())
for attempt in (
    lambda: store.put("big", b"x" * 8_000_000, IfAbsent()),
    lambda: store.put("root", b"x" * 8_000_000, IfMatch(etag)),
    lambda: store.open_upload("big").write(b"x" * 8_000_000),
):
    try:
        attempt()
    except StoreUnavailableError as error:
        assert "no space left" in str(error) and folder not in str(error), error
        assert isinstance(error.__cause__, OSError)
    else:
        raise AssertionError("the disk was not full")
assert store.get("root").data == b"root"
assert [info.key for info in store.list("")] == ["root"]
store.put("small", b"y" * 1000, IfAbsent())
print("done")
"""


def run(script: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True)


def drafts(folder: Path) -> list[Path]:
    return list((folder / ".lakehouse" / "drafts").iterdir())


def test_increments_of_several_processes_are_all_counted(tmp_path):
    LocalStore(tmp_path).put("counter", b"0", IfAbsent())

    processes = [run(INCREMENT, tmp_path) for _ in range(3)]

    assert [process.wait() for process in processes] == [0, 0, 0]
    for process in processes:
        process.communicate()
    assert LocalStore(tmp_path).get("counter").data == b"90"


def test_a_killed_process_leaves_whole_objects_and_drafts_that_are_swept(tmp_path):
    for round_ in range(5):
        folder = tmp_path / str(round_)
        process = run(WRITE_UNTIL_KILLED, folder)
        for _ in range(3 * round_ + 1):
            process.stdout.readline()
        process.kill()
        acknowledged = [int(line) for line in process.communicate()[0].split()]
        left = drafts(folder)

        store = LocalStore(folder)

        listed = {info.key: info.size for info in store.list("")}
        assert set(listed.values()) == {100_000}
        assert {f"data/{number}" for number in acknowledged} <= listed.keys()
        assert all(len(set(store.get(key).data)) == 1 for key in listed)
        assert left
        assert drafts(folder) == []


def test_a_draft_of_a_living_writer_is_not_swept(tmp_path):
    upload = LocalStore(tmp_path).open_upload("key")
    upload.write(b"x" * 3_000_000)

    other = LocalStore(tmp_path)
    upload.complete()

    assert other.head("key").size == 3_000_000
    assert drafts(tmp_path) == []


@pytest.mark.parametrize("time_ns", [0, 4_000_000_000_000_000_000])
def test_an_etag_changes_whatever_the_clock_says(tmp_path, time_ns):
    store = LocalStore(tmp_path)
    store.put("key", b"first", IfAbsent())
    os.utime(tmp_path / "key", ns=(time_ns, time_ns))
    etag = store.get("key").etag

    second = store.put("key", b"other", IfMatch(etag))

    assert second != etag
    assert store.get("key").etag == second


def test_a_full_disk_is_a_clean_error_and_harms_nothing(tmp_path):
    if not shutil.which("unshare"):
        pytest.skip("needs unshare to mount a small disk")
    mount = 'mount -t tmpfs -o size=2m none "$4" && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this system does not let us mount a small disk")

    python = [sys.executable, "-c", FILL, str(tmp_path)]
    done = subprocess.run([*command, "sh", "-c", mount, "sh", *python], check=False, capture_output=True, text=True)

    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr


def test_a_folder_that_cannot_be_made_is_a_clean_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StoreUnavailableError) as caught:
        LocalStore(tmp_path / "file" / "lake")

    assert str(tmp_path) not in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)


def test_a_lock_that_is_held_is_waited_for_until_a_limit(tmp_path):
    store = LocalStore(tmp_path, lock_timeout_seconds=0.05)
    etag = store.put("key", b"first", IfAbsent())
    with (tmp_path / ".lakehouse" / "replace.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        with pytest.raises(StoreUnavailableError, match="another process holds its lock"):
            store.put("key", b"second", IfMatch(etag))

    assert store.put("key", b"second", IfMatch(etag))


def test_an_object_cannot_be_a_folder_of_another(tmp_path):
    store = LocalStore(tmp_path)
    store.put("a/b", b"x", IfAbsent())

    with pytest.raises(InvalidKeyError):
        store.put("a/b/c", b"x", IfAbsent())
    with pytest.raises(PreconditionFailedError):
        store.put("a", b"x", IfAbsent())

    assert [info.key for info in store.list("")] == ["a/b"]


def test_few_files_stay_open_however_many_are_read(tmp_path):
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("needs /proc to count open files")
    store = LocalStore(tmp_path, fsync=False)
    before = len(list(descriptors.iterdir()))
    for number in range(200):
        store.put(f"data/{number}", b"%d" % number, IfAbsent())
        assert store.get_range(f"data/{number}", 0, 9) == b"%d" % number

    assert len(list(descriptors.iterdir())) - before <= 128
    assert store.get_range("data/0", 0, 9) == b"0"

    del store
    assert len(list(descriptors.iterdir())) <= before


def test_a_file_deleted_by_another_process_is_let_go_of(tmp_path):
    store = LocalStore(tmp_path)
    for key in ("a", "b", "c"):
        store.put(key, b"content", IfAbsent())
    store.get_range("a", 0, 1)
    LocalStore(tmp_path).delete(["a"])

    store.get_range("b", 0, 1)

    assert [Path(path).name for path in store._open_files._files] == ["b"]


def test_a_folder_without_our_own_files_is_a_lake_too(tmp_path):
    """As after a copy of the lake by other means."""
    LocalStore(tmp_path).put("data/x", b"content", IfAbsent())
    shutil.rmtree(tmp_path / ".lakehouse")

    store = LocalStore(tmp_path)
    store.delete(["data/x"])

    assert list(store.list("")) == []


def test_a_lake_whose_folder_was_emptied_is_written_again(tmp_path):
    store = LocalStore(tmp_path / "lake")
    store.put("data/x", b"content", IfAbsent())
    shutil.rmtree(tmp_path / "lake")

    with pytest.raises(StoreUnavailableError):
        store.put("data/x", b"content", IfAbsent())

    assert store.put("data/x", b"content", IfAbsent())
