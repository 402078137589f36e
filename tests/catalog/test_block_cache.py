"""The block cache answers as the store does, with fewer requests, within its limits."""

import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from catalog import (
    BlockCache,
    CacheSettings,
    DirectReader,
    IfAbsent,
    LakehouseError,
    LocalStore,
    MemoryStore,
    ObjectNotFoundError,
    StoreUnavailableError,
)
from catalog.local_files import Descriptor

BLOCK = 4096


class CountingStore(MemoryStore):
    """Remembers the ranges it was asked for, holds them back, and fails as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, int, int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.failures: list[Exception] = []

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        self.asked.append((key, offset, length))
        self.entered.set()
        assert self.gate.wait(10)
        if self.failures:
            raise self.failures.pop(0)
        return super().get_range(key, offset, length)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


def cache_on(store, tmp_path, *, blocks: int = 100, memory_bytes: int = 0) -> BlockCache:
    settings = CacheSettings(
        directory=tmp_path / "cache", block_bytes=BLOCK, limit_bytes=blocks * BLOCK, memory_bytes=memory_bytes
    )
    return BlockCache(store, settings)


def add(store, key: str, size: int) -> tuple[bytes, str]:
    content = random.Random(key).randbytes(size)
    return content, store.put(key, content, IfAbsent())


@pytest.mark.parametrize("memory_bytes", [0, 10_000])
@pytest.mark.parametrize("blocks", [1, 3, 100])
def test_every_range_is_read_as_the_store_has_it(store, tmp_path, blocks, memory_bytes):
    size = 10 * BLOCK + 123
    content, etag = add(store, "key", size)
    cache = cache_on(store, tmp_path, blocks=blocks, memory_bytes=memory_bytes)
    dice = random.Random(1)

    for _ in range(500):
        offset, length = dice.randrange(size + 10), dice.randrange(3 * BLOCK)
        assert cache.read("key", etag, size, offset, length) == content[offset : offset + length]


def test_a_block_is_fetched_once_whatever_part_is_read(store, tmp_path):
    content, etag = add(store, "key", 3 * BLOCK)
    cache = cache_on(store, tmp_path)

    assert cache.read("key", etag, 3 * BLOCK, 10, 20) == content[10:30]
    assert cache.read("key", etag, 3 * BLOCK, 0, BLOCK) == content[:BLOCK]
    assert cache.read("key", etag, 3 * BLOCK, BLOCK - 1, 1) == content[BLOCK - 1 : BLOCK]

    assert store.asked == [("key", 0, BLOCK)]


def test_adjacent_missing_blocks_are_fetched_together_and_present_ones_not_again(store, tmp_path):
    size = 8 * BLOCK + 5
    content, etag = add(store, "key", size)
    cache = cache_on(store, tmp_path)
    cache.read("key", etag, size, 2 * BLOCK, 1)
    cache.read("key", etag, size, 6 * BLOCK, BLOCK)
    store.asked.clear()

    assert cache.read("key", etag, size, 0, size) == content

    assert store.asked == [("key", 0, 2 * BLOCK), ("key", 3 * BLOCK, 3 * BLOCK), ("key", 7 * BLOCK, BLOCK + 5)]


def test_readers_of_one_block_at_the_same_time_fetch_it_once(store, tmp_path):
    content, etag = add(store, "key", 2 * BLOCK)
    cache = cache_on(store, tmp_path)
    store.gate.clear()
    with ThreadPoolExecutor(8) as threads:
        reads = [threads.submit(cache.read, "key", etag, 2 * BLOCK, n, BLOCK) for n in range(8)]
        assert store.entered.wait(10)
        store.gate.set()
        assert [read.result() for read in reads] == [content[n : n + BLOCK] for n in range(8)]

    assert sum(length for _, _, length in store.asked) == 2 * BLOCK


def test_an_object_under_another_etag_is_another_object(store, tmp_path):
    content, etag = add(store, "key", BLOCK)
    cache = cache_on(store, tmp_path, memory_bytes=BLOCK)
    assert cache.read("key", etag, BLOCK, 0, 100) == content[:100]
    store.delete(["key"])
    etag = store.put("key", content[::-1], IfAbsent())

    assert cache.read("key", etag, BLOCK, 0, 100) == content[::-1][:100]


def test_the_block_that_was_not_used_for_longest_is_evicted(store, tmp_path):
    _, etag = add(store, "key", 4 * BLOCK)
    cache = cache_on(store, tmp_path, blocks=2)
    for number in (0, 1, 0, 2):
        cache.read("key", etag, 4 * BLOCK, number * BLOCK, 1)
    store.asked.clear()

    for number in (0, 2, 1):
        cache.read("key", etag, 4 * BLOCK, number * BLOCK, 1)

    assert store.asked == [("key", BLOCK, BLOCK)]


def test_small_ranges_stay_in_memory_within_the_limit(store, tmp_path):
    content, etag = add(store, "key", 10 * BLOCK)
    cache = cache_on(store, tmp_path, blocks=1, memory_bytes=250)
    for number in range(3):
        cache.read("key", etag, 10 * BLOCK, number * BLOCK, 100)
    store.asked.clear()

    for number in (2, 1, 0):
        assert cache.read("key", etag, 10 * BLOCK, number * BLOCK, 100) == content[number * BLOCK :][:100]

    assert store.asked == [("key", 0, BLOCK)]


def test_the_file_does_not_outgrow_its_limit(store, tmp_path):
    size = 50 * BLOCK
    _, etag = add(store, "key", size)
    cache = cache_on(store, tmp_path, blocks=4)
    for offset in range(0, size, BLOCK):
        cache.read("key", etag, size, offset, BLOCK)

    assert os.fstat(cache._slots._file.number).st_size <= 4 * BLOCK
    assert list((tmp_path / "cache").iterdir()) == []


def test_many_threads_read_right_while_blocks_are_evicted(store, tmp_path):
    size = 20 * BLOCK
    content, etag = add(store, "key", size)
    cache = cache_on(store, tmp_path, blocks=3, memory_bytes=BLOCK)

    def read(seed: int) -> bool:
        dice = random.Random(seed)
        spans = [(dice.randrange(size), dice.randrange(2 * BLOCK)) for _ in range(300)]
        return all(cache.read("key", etag, size, start, length) == content[start:][:length] for start, length in spans)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(read, range(8)))


def test_a_failed_fetch_fails_its_readers_and_is_tried_again_by_the_next(store, tmp_path):
    content, etag = add(store, "key", 5 * BLOCK)
    cache = cache_on(store, tmp_path)
    cache.read("key", etag, 5 * BLOCK, 2 * BLOCK, 1)
    store.failures[:] = [StoreUnavailableError("down")]

    with pytest.raises(StoreUnavailableError, match="down"):
        cache.read("key", etag, 5 * BLOCK, 0, 5 * BLOCK)

    assert cache.read("key", etag, 5 * BLOCK, 0, 5 * BLOCK) == content


def test_a_missing_or_shortened_object_is_an_error(store, tmp_path):
    _, etag = add(store, "key", BLOCK)
    cache = cache_on(store, tmp_path)

    with pytest.raises(ObjectNotFoundError):
        cache.read("missing", etag, BLOCK, 0, 10)
    with pytest.raises(StoreUnavailableError, match="shorter"):
        cache.read("key", etag, 2 * BLOCK, 0, 2 * BLOCK)


def test_a_disk_that_takes_no_blocks_only_costs_requests(store, tmp_path, monkeypatch):
    content, etag = add(store, "key", 2 * BLOCK)
    cache = cache_on(store, tmp_path)
    monkeypatch.setattr(cache._slots, "_file", Descriptor("/dev/full", os.O_RDWR))

    for _ in range(2):
        assert cache.read("key", etag, 2 * BLOCK, 0, 2 * BLOCK) == content

    assert len(store.asked) == 2


def test_a_folder_that_cannot_be_used_is_a_clean_error(store, tmp_path):
    (tmp_path / "cache").write_bytes(b"a file")

    with pytest.raises(LakehouseError) as caught:
        cache_on(store, tmp_path)

    assert caught.value.code == "invalid_cache_directory"
    assert str(tmp_path) not in caught.value.message


def test_blocks_of_a_remote_object_come_from_the_real_server(s3_place, tmp_path):
    content, etag = add(s3_place.store(), "data/key", 10 * BLOCK + 1)
    cache = cache_on(s3_place.store(), tmp_path, memory_bytes=BLOCK)

    for _ in range(2):
        assert (
            cache.read("data/key", etag, len(content), 3 * BLOCK, 4 * BLOCK + 1)
            == content[3 * BLOCK :][: 4 * BLOCK + 1]
        )
        assert cache.read("data/key", etag, len(content), len(content) - 8, 8) == content[-8:]


def test_a_direct_reader_asks_the_store(tmp_path):
    store = LocalStore(tmp_path)
    etag = store.put("key", b"0123456789", IfAbsent())

    assert DirectReader(store).read("key", etag, 10, 4, 3) == b"456"
