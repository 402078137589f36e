import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from lakes import QUICK, SCHEMA, STOPS, TRIPS, append, objects, open_lake

from catalog import (
    DATASETS,
    DatasetName,
    ErrorKind,
    IfAbsent,
    IfMatch,
    Lake,
    LakehouseError,
    LocalStore,
    MemoryStore,
    StoreUnavailableError,
)
from catalog.codec import decode_root, encode_root

ROOT = "catalog/root.parquet"


class CountingStore(MemoryStore):
    """Counts reads, and can be switched off."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []
        self.down = False

    def get(self, key):
        self.reads.append(key)
        if self.down:
            raise StoreUnavailableError("down")
        return super().get(key)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def lake(store):
    with open_lake(store) as lake:
        yield lake


def refusal(action, *arguments, **keywords) -> tuple[ErrorKind, str]:
    with pytest.raises(LakehouseError) as caught:
        action(*arguments, **keywords)
    return caught.value.kind, caught.value.code


def rewrite_root(store: MemoryStore, **changes) -> None:
    blob = store.get(ROOT)
    root = replace(decode_root(blob.data, ROOT), **changes)
    store.put(ROOT, encode_root(root), IfMatch(blob.etag))


def test_a_new_lake_is_empty_and_has_version_0(lake):
    snapshot = lake.snapshot()
    assert (snapshot.version, snapshot.schemas(), snapshot.entries(), snapshot.lake) == (0, ["main"], [], "lake")


def test_a_lake_that_is_opened_again_is_as_it_was(lake, store):
    append(lake, 3)
    with Lake.open("again", store, commit=QUICK) as again:
        assert again.snapshot().entry(TRIPS).row_count == 3
        assert again.snapshot().commit_id == lake.snapshot().commit_id


def test_a_store_that_ignores_conditions_is_refused_unless_nobody_else_writes():
    class Careless(MemoryStore):
        def put(self, key, data, condition):
            self.delete([key])
            return super().put(key, data, IfAbsent())

    kind, code = refusal(Lake.open, "lake", Careless(), commit=QUICK)
    assert code == "store_ignores_conditional_writes"
    assert kind in (ErrorKind.UNAVAILABLE, ErrorKind.INVALID_ARGUMENT)
    with Lake.open("lake", Careless(), commit=QUICK, single_writer=True) as lake:
        assert append(lake, 1) == 1


def test_a_reserved_name_is_refused(store):
    assert refusal(Lake.open, "primary", store, commit=QUICK) == (ErrorKind.INVALID_ARGUMENT, "reserved_name")


def test_a_lake_whose_root_is_gone_is_not_begun_again(lake, store):
    append(lake, 1)
    store.delete([ROOT])
    assert refusal(open_lake, store) == (ErrorKind.INTERNAL, "catalog_corrupt")
    assert refusal(lake.snapshot) == (ErrorKind.INTERNAL, "catalog_corrupt")


def test_what_one_server_commits_the_next_snapshot_of_another_shows(lake, store):
    with open_lake(store) as other:
        assert other.snapshot().entries() == []
        append(lake, 3)
        assert other.snapshot().entry(TRIPS).row_count == 3


def test_a_snapshot_does_not_change(lake):
    append(lake, 1)
    snapshot = lake.snapshot()
    append(lake, 1)
    append(lake, 1, name=STOPS)
    assert [entry.row_count for entry in snapshot.entries()] == [1]


def test_a_snapshot_costs_one_request_and_nothing_is_read_twice(lake, store):
    append(lake, 1)
    append(lake, 1)
    store.reads.clear()
    first, second = lake.snapshot(), lake.snapshot()
    assert store.reads == [ROOT, ROOT]
    assert first is second
    first.manifest(first.entry(TRIPS))
    assert store.reads == [ROOT, ROOT], "the server has just written it"


def test_former_versions_can_be_read_by_number(lake):
    for rows in (1, 2, 3):
        append(lake, rows)
    assert [
        lake.snapshot(version=v).find(TRIPS) and lake.snapshot(version=v).entry(TRIPS).row_count for v in range(4)
    ] == [
        None,
        1,
        3,
        6,
    ]
    assert lake.snapshot(version=3) is lake.snapshot()
    for version in (-1, 4):
        assert refusal(lake.snapshot, version=version) == (ErrorKind.NOT_FOUND, "snapshot_not_found")


def test_former_versions_can_be_read_by_time(lake):
    for _ in range(9):
        append(lake, 1)
    step = timedelta(microseconds=1)
    for version in range(10):
        at = lake.snapshot(version=version).committed_at
        assert lake.snapshot(at=at).version == version
        if version > 0:
            assert lake.snapshot(at=at - step).version == version - 1
    beginning = lake.snapshot(version=0).committed_at
    assert refusal(lake.snapshot, at=beginning - step) == (ErrorKind.NOT_FOUND, "snapshot_not_found")
    assert lake.snapshot(at=datetime.now(UTC) + timedelta(days=1)).version == 9
    assert refusal(lake.snapshot, at=datetime(2026, 1, 1)) == (ErrorKind.INVALID_ARGUMENT, "invalid_time")  # noqa: DTZ001


def test_versions_that_were_collected_say_so(lake, store):
    for _ in range(4):
        append(lake, 1)
    beginning = lake.snapshot(version=0).committed_at
    rewrite_root(store, version=5, history_floor=3)
    with open_lake(store) as other:
        assert refusal(other.snapshot, version=2) == (ErrorKind.NOT_FOUND, "snapshot_expired")
        assert other.snapshot(version=3).entry(TRIPS).row_count == 3
        assert refusal(other.snapshot, at=beginning) == (ErrorKind.NOT_FOUND, "snapshot_expired")


def test_the_history_lists_the_newest_first(lake):
    append(lake, 1)
    append(lake, 2)
    assert [(record.version, record.rows_added) for record in lake.history(TRIPS)] == [(2, 2), (1, 1)]
    assert [record.version for record in lake.snapshots()] == [2, 1, 0]
    assert [record.version for record in lake.snapshots(limit=2)] == [2, 1]
    assert {record.commit_id for record in lake.history(TRIPS)} == {record.commit_id for record in lake.snapshots(2)}
    assert refusal(lake.history, STOPS) == (ErrorKind.NOT_FOUND, "dataset_not_found")


def test_a_dropped_dataset_is_in_former_snapshots_only(lake):
    append(lake, 1)
    transaction = lake.begin()
    transaction.drop(TRIPS)
    transaction.commit()
    assert refusal(lake.snapshot().entry, TRIPS) == (ErrorKind.NOT_FOUND, "dataset_not_found")
    assert lake.snapshot(version=1).entry(TRIPS).row_count == 1


def test_a_store_that_is_down_is_unavailable_and_comes_back(lake, store):
    append(lake, 1)
    store.down = True
    unavailable = (ErrorKind.UNAVAILABLE, "store_unavailable")
    assert refusal(lake.snapshot) == unavailable
    assert refusal(lake.ping) == unavailable
    assert refusal(lake.begin) == unavailable
    store.down = False
    lake.ping()
    assert append(lake, 1) == 2


def test_a_corrupt_manifest_is_named_and_does_not_stop_its_dataset_from_being_dropped(lake, store):
    append(lake, 1)
    append(lake, 1, name=STOPS)
    key = lake.snapshot().entry(TRIPS).manifest
    data = store.get(key).data
    store.delete([key])
    store.put(key, data[: len(data) // 2], IfAbsent())
    with open_lake(store) as other:
        snapshot = other.snapshot()
        with pytest.raises(LakehouseError, match=key) as caught:
            snapshot.manifest(snapshot.entry(TRIPS))
        assert (caught.value.kind, caught.value.code) == (ErrorKind.INTERNAL, "catalog_corrupt")
        assert refusal(append, other, 1) == (ErrorKind.INTERNAL, "catalog_corrupt")
        assert append(other, 1, name=STOPS) == 2
        transaction = other.begin()
        transaction.drop(TRIPS)
        transaction.commit()
        assert append(other, 1) == 1


def test_ten_thousand_datasets_are_found_by_name(lake, store):
    rows = [
        {
            "dataset_id": f"d{n}",
            "schema": "main" if n % 2 else "raw",
            "name": f"t{n}",
            "state": "active",
            "manifest": f"m{n}",
            "version": n,
            "schema_fingerprint": "v1:",
            "row_count": n,
            "bytes": 0,
            "object_count": 0,
            "created_at": datetime.now(UTC),
            "updated_at": datetime.now(UTC),
        }
        for n in range(10_000)
    ]
    rewrite_root(store, version=1, datasets=pa.Table.from_pylist(rows, DATASETS), schemas=frozenset({"main", "raw"}))
    snapshot = lake.snapshot()
    assert snapshot.entry(DatasetName("raw", "t9998")).version == 9998
    assert snapshot.find(DatasetName("main", "t9998")) is None
    assert len(snapshot.entries("raw")) == 5000
    began = time.perf_counter()
    for n in range(1, 1000, 2):
        assert snapshot.entry(DatasetName("main", f"t{n}")).version == n
    assert (time.perf_counter() - began) / 500 < 0.001


def test_a_snapshot_of_an_unchanged_local_lake_is_taken_in_no_time(tmp_path):
    with Lake.open("lake", LocalStore(tmp_path / "lake"), commit=QUICK) as lake:
        append(lake, 1)
        seconds = []
        for _ in range(200):
            began = time.perf_counter()
            lake.snapshot()
            seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.0002


def test_objects_of_one_commit_are_all_visible_or_none(lake):
    transaction = lake.begin()
    transaction.create(TRIPS, SCHEMA, objects=objects(1, 2, 3))
    assert lake.snapshot().find(TRIPS) is None
    transaction.commit()
    assert lake.snapshot().entry(TRIPS).object_count == 3
