"""What every store promises: one suite, three stores."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from catalog import (
    Blob,
    IfAbsent,
    IfMatch,
    InvalidKeyError,
    LocalStore,
    MemoryStore,
    ObjectNotFoundError,
    ObjectStore,
    PreconditionFailedError,
    StoreSettings,
    WriteConflictError,
    probe_conditional_writes,
)

PART_BYTES = 5 * 1024 * 1024
WRONG = '"00000000000000000000000000000000"'
ODD_KEYS = [
    "a",
    "data/with space/x y.parquet",
    "data/plus+and&amp;=?#%41%2F.parquet",
    "data/quote'\"<>|*;:@$,.parquet",
    "data/back\\slash",
    "data/ümlaut-日本語-🦆.parquet",
    "data/.hidden/..twodots/...",
    "data/~tilde/-dash/_",
    "data/" + "n" * 200,
]
ILLEGAL_KEYS = ["", "/", "/etc/passwd", "a/", "a//b", ".", "..", "../a", "a/../b", "a/..", "a/./b", "a\0b", "a\nb"]
ILLEGAL_KEYS += ["\ud800", "é" * 140, "n" * 256, "/".join(["n" * 200] * 5), ".lakehouse/replace.lock"]


@pytest.fixture(params=["memory", "local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path) -> ObjectStore:
    match request.param:
        case "memory":
            return MemoryStore()
        case "local":
            return LocalStore(tmp_path / "lake")
        case _:
            return request.getfixturevalue("s3_place").store(StoreSettings(part_bytes=PART_BYTES, list_page_keys=10))


def keys(store: ObjectStore, prefix: str) -> list[str]:
    return [info.key for info in store.list(prefix)]


def race(number: int, attempt: Callable[[int], str]) -> list[str | None]:
    """Start attempts at the same moment; an attempt that lost is None."""
    start = threading.Barrier(number)

    def run(index: int) -> str | None:
        start.wait()
        try:
            return attempt(index)
        except (PreconditionFailedError, WriteConflictError):
            return None

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(run, range(number)))


def test_an_object_is_read_as_it_was_written(store):
    etag = store.put("a/b", b"hello", IfAbsent())

    blob = store.get("a/b")

    assert (blob.data, blob.etag) == (b"hello", etag)
    assert store.head("a/b").size == 5
    assert store.head("a/b").etag == etag


def test_an_empty_object_is_an_object(store):
    etag = store.put("empty", b"", IfAbsent())
    with store.open_upload("uploaded") as upload:
        info = upload.complete()

    assert store.get("empty") == Blob(b"", etag)
    assert store.get("uploaded").data == b""
    assert info.size == 0
    assert store.get_range("empty", 0, 10) == b""
    assert keys(store, "") == ["empty", "uploaded"]


def test_a_missing_object_is_not_found(store):
    store.put("folder/file", b"x", IfAbsent())

    for key in ["missing", "folder", "folder/file2", "folder/missing/deep"]:
        with pytest.raises(ObjectNotFoundError):
            store.get(key)
        with pytest.raises(ObjectNotFoundError):
            store.get_if_changed(key, WRONG)
        with pytest.raises(ObjectNotFoundError):
            store.get_range(key, 0, 1)
        with pytest.raises(ObjectNotFoundError):
            store.get_range(key, 0, 0)
        with pytest.raises(ObjectNotFoundError):
            store.head(key)


def test_a_key_is_created_once(store):
    store.put("key", b"first", IfAbsent())

    with pytest.raises(PreconditionFailedError):
        store.put("key", b"second", IfAbsent())

    assert store.get("key").data == b"first"


def test_an_object_is_replaced_only_at_its_etag(store):
    first = store.put("key", b"first", IfAbsent())

    second = store.put("key", b"other", IfMatch(first))

    assert second != first
    for outdated in (first, WRONG):
        with pytest.raises(PreconditionFailedError):
            store.put("key", b"third", IfMatch(outdated))
    assert store.get("key") == Blob(b"other", second)


def test_a_missing_object_is_not_replaced(store):
    with pytest.raises(PreconditionFailedError):
        store.put("missing", b"x", IfMatch(WRONG))
    with pytest.raises(PreconditionFailedError):
        store.put("deep/missing", b"x", IfMatch(WRONG))

    assert keys(store, "") == []


def test_every_version_of_a_key_has_its_own_etag(store):
    etags = [store.put("key", b"0000", IfAbsent())]
    for number in range(1, 100):
        etags.append(store.put("key", b"%04d" % number, IfMatch(etags[-1])))

    assert len(set(etags)) == 100


def test_a_read_tells_whether_the_object_changed(store):
    first = store.put("key", b"first", IfAbsent())

    assert store.get_if_changed("key", first) is None
    assert store.get_if_changed("key", WRONG) == store.get("key")

    second = store.put("key", b"later", IfMatch(first))
    changed = store.get_if_changed("key", first)

    assert (changed.data, changed.etag) == (b"later", second)


def test_one_of_many_creators_wins(store):
    for round_ in range(5):
        etags = race(8, lambda index, round_=round_: store.put(f"key{round_}", b"%d" % index, IfAbsent()))

        winners = [index for index, etag in enumerate(etags) if etag is not None]
        assert len(winners) == 1
        assert store.get(f"key{round_}").data == b"%d" % winners[0]


def test_one_of_many_replacers_wins(store):
    etag = store.put("key", b"start", IfAbsent())
    for round_ in range(5):
        # The same bytes twice may have the same etag, so no body is used twice.
        bodies = [b"%d %d" % (round_, index) for index in range(8)]
        etags = race(8, lambda index, etag=etag, bodies=bodies: store.put("key", bodies[index], IfMatch(etag)))

        winners = [index for index, won in enumerate(etags) if won is not None]
        assert len(winners) == 1
        assert store.get("key") == Blob(bodies[winners[0]], etags[winners[0]])
        etag = etags[winners[0]]


def test_increments_of_many_threads_are_all_counted(store):
    store.put("counter", b"0", IfAbsent())

    def increment(_: int) -> None:
        while True:
            blob = store.get("counter")
            try:
                store.put("counter", b"%d" % (int(blob.data) + 1), IfMatch(blob.etag))
            except (PreconditionFailedError, WriteConflictError):
                continue
            return

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(increment, range(40)))

    assert store.get("counter").data == b"40"


def test_a_reader_sees_whole_versions_only(store):
    etag = store.put("key", b"a" * (1000 * ord("a")), IfAbsent())
    done = threading.Event()

    def read() -> list[bytes]:
        torn = []
        while not done.is_set():
            data = store.get("key").data
            if data != data[:1] * (1000 * data[0]):
                torn.append(data)
        return torn

    with ThreadPoolExecutor(2) as threads:
        readers = [threads.submit(read) for _ in range(2)]
        for letter in b"bcdefghijklmnopqrstuvwxyz":
            etag = store.put("key", bytes([letter]) * (1000 * letter), IfMatch(etag))
        done.set()

    assert [reader.result() for reader in readers] == [[], []]


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [(0, 3, b"012"), (4, 2, b"45"), (8, 2, b"89"), (8, 50, b"89"), (10, 1, b""), (99, 1, b""), (3, 0, b"")],
)
def test_a_range_is_read(store, offset, length, expected):
    store.put("key", b"0123456789", IfAbsent())

    assert store.get_range("key", offset, length) == expected


def test_a_range_of_a_replaced_object_is_of_the_new_one(store):
    etag = store.put("key", b"0123456789", IfAbsent())
    assert store.get_range("key", 2, 3) == b"234"

    store.put("key", b"abcdefghij", IfMatch(etag))

    assert store.get_range("key", 2, 3) == b"cde"


@pytest.mark.parametrize("size", [1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES + 7])
def test_an_upload_of_any_size_is_published_as_it_was_written(store, size):
    content = os.urandom(size)

    with store.open_upload("object") as upload:
        for start in range(0, size, 1_300_000):
            upload.write(memoryview(content)[start : start + 1_300_000])
        info = upload.complete()

    assert info.key == "object"
    assert info.size == size
    assert info == store.head("object")
    assert store.get("object") == Blob(content, info.etag)


def test_an_upload_takes_many_small_writes_and_one_huge(store):
    with store.open_upload("object") as upload:
        for _ in range(5000):
            upload.write(b"tiny")
        upload.write(b"h" * (2 * PART_BYTES))
        upload.write(b"")
        upload.complete()

    assert store.get("object").data == b"tiny" * 5000 + b"h" * (2 * PART_BYTES)


@pytest.mark.parametrize("size", [10, PART_BYTES + 10])
def test_an_upload_is_invisible_until_it_is_complete(store, size):
    upload = store.open_upload("folder/object")
    upload.write(b"x" * size)

    assert keys(store, "") == []
    with pytest.raises(ObjectNotFoundError):
        store.head("folder/object")

    upload.complete()
    assert keys(store, "") == ["folder/object"]


@pytest.mark.parametrize("size", [10, PART_BYTES + 10])
def test_an_upload_does_not_replace_an_object(store, size):
    store.put("object", b"first", IfAbsent())

    with store.open_upload("object") as upload:
        upload.write(b"x" * size)
        with pytest.raises(PreconditionFailedError):
            upload.complete()

    assert store.get("object").data == b"first"


# moto lets two of several uploads in parts through.
@pytest.mark.parametrize("size", [10, pytest.param(PART_BYTES + 10, marks=pytest.mark.minio)])
def test_one_of_many_uploads_of_a_key_wins(store, size):
    def upload(index: int) -> str:
        with store.open_upload("object") as upload:
            upload.write(b"%d" % index * size)
            return upload.complete().etag

    etags = race(3, upload)

    winners = [index for index, etag in enumerate(etags) if etag is not None]
    assert len(winners) == 1
    assert store.get("object").data == b"%d" % winners[0] * size


@pytest.mark.parametrize("size", [10, PART_BYTES + 10])
def test_an_upload_that_is_given_up_leaves_nothing(store, size):
    def fail() -> None:
        with store.open_upload("object") as upload:
            upload.write(b"x" * size)
            raise RuntimeError("the writer broke")

    with pytest.raises(RuntimeError, match="the writer broke"):
        fail()

    assert keys(store, "") == []


@pytest.mark.parametrize("size", [10, PART_BYTES + 10])
def test_an_abort_leaves_a_published_object(store, size):
    upload = store.open_upload("object")
    upload.write(b"x" * size)
    upload.complete()

    upload.abort()
    upload.abort()

    assert store.head("object").size == size
    with pytest.raises(ValueError, match="closed"):
        upload.write(b"more")
    with pytest.raises(ValueError, match="closed"):
        upload.complete()


def test_a_listing_is_complete_and_in_key_order(store):
    names = [
        f"data/{name}" for name in ["a", "a!", "a-b/x", "a-b/y/z", "a.b", "a0", "b/1", "b/10", "b/2", "é", "z", "日"]
    ]
    names += [f"data/many/{number:03d}" for number in range(35)]
    for name in reversed(names):
        store.put(name, name.encode(), IfAbsent())
    store.put("database", b"", IfAbsent())

    listed = list(store.list("data/"))

    assert [info.key for info in listed] == sorted(names)
    assert all(info.size == len(info.key.encode()) for info in listed)
    assert listed[0] == store.head(listed[0].key)
    assert keys(store, "data/many/01") == [f"data/many/01{digit}" for digit in range(10)]
    assert keys(store, "data/b/1") == ["data/b/1", "data/b/10"]
    assert keys(store, "data") == [*sorted(names), "database"]
    assert keys(store, "nothing/here/") == []
    assert len(keys(store, "")) == len(names) + 1


def test_objects_are_deleted(store):
    for name in ["a", "b/c", "b/d", "e"]:
        store.put(name, b"x", IfAbsent())
    assert store.get_range("a", 0, 1) == b"x"

    store.delete(["a", "b/c", "missing", "b/missing/too", "b"])

    assert keys(store, "") == ["b/d", "e"]
    with pytest.raises(ObjectNotFoundError):
        store.get_range("a", 0, 1)
    store.delete([])
    store.delete(key for key in ["e"])
    assert keys(store, "") == ["b/d"]
    assert store.put("a", b"again", IfAbsent())


@pytest.mark.parametrize("key", ODD_KEYS)
def test_an_odd_key_is_a_key(store, key):
    etag = store.put(key, b"0123", IfAbsent())

    assert store.get(key).data == b"0123"
    assert store.get_range(key, 1, 2) == b"12"
    assert keys(store, "") == [key]
    assert keys(store, key[:5]) == [key]
    assert keys(store, key.rpartition("/")[0]) == [key]
    store.put(key, b"4567", IfMatch(etag))
    store.delete([key])
    assert keys(store, "") == []


@pytest.mark.parametrize("key", ILLEGAL_KEYS)
def test_an_illegal_key_is_refused_before_anything_is_touched(store, key):
    for attempt in [
        lambda: store.get(key),
        lambda: store.get_if_changed(key, WRONG),
        lambda: store.get_range(key, 0, 1),
        lambda: store.head(key),
        lambda: store.put(key, b"x", IfAbsent()),
        lambda: store.put(key, b"x", IfMatch(WRONG)),
        lambda: store.open_upload(key),
        lambda: store.delete([key]),
    ]:
        with pytest.raises(InvalidKeyError):
            attempt()
    if key and not key.endswith("/") and key not in {".", ".."}:
        with pytest.raises(InvalidKeyError):
            store.list(f"{key}/")
    assert keys(store, "") == []


def test_the_probe_is_content_and_leaves_nothing(store):
    probe_conditional_writes(store)

    assert keys(store, "") == []
