import itertools
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from audit import audit, keys_of
from lakes import OTHER_SCHEMA, QUICK, SCHEMA, STOPS, TRIPS, append, objects, open_lake

from catalog import (
    CommitResult,
    DatasetName,
    ErrorKind,
    IdempotencyKey,
    IfMatch,
    Lake,
    LakehouseError,
    MemoryStore,
    PreconditionFailedError,
    ProducerSequence,
    StoreUnavailableError,
)
from catalog.codec import decode_root, encode_root
from catalog.commit import Committer, Request
from catalog.head import CatalogReader
from catalog.transaction import Transaction

ROOT = "catalog/root.parquet"
IMPATIENT = QUICK.model_copy(update={"deadline_seconds": 0.2})


class GatedStore(MemoryStore):
    """Holds the swaps of the root back until the gate is open, and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()
        self.writes: list[str] = []

    def shut(self) -> None:
        """Shut the gate."""
        self.gate.clear()
        self.reached.clear()

    def put(self, key, data, condition):
        self.writes.append(key)
        if key == ROOT:
            self.reached.set()
            assert self.gate.wait(30)
        return super().put(key, data, condition)


class BrokenStore(MemoryStore):
    """Answers every swap with an error that the test chooses; ``before`` runs first."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.before = lambda: None

    def put(self, key, data, condition):
        if key == ROOT and self.error is not None:
            self.before()
            raise self.error
        return super().put(key, data, condition)


@pytest.fixture
def store() -> GatedStore:
    return GatedStore()


@pytest.fixture
def lake(store):
    with open_lake(store) as lake:
        yield lake


def request(lake: Lake, *rows: int, name: DatasetName = TRIPS, schema=SCHEMA, **keywords) -> Request:
    """Make a request that is not queued yet."""
    transaction = lake.begin()
    transaction.create_or_append(name, schema, objects(*rows), **keywords)
    return Request(proposal_of(transaction), float("inf"))


def proposal_of(transaction: Transaction):
    """Take the proposal that a transaction would commit."""
    proposals = []
    transaction._committer = type("Committer", (), {"commit": lambda self, proposal: proposals.append(proposal)})()
    transaction.commit()
    return proposals[0]


def outcome(future: Future[CommitResult]) -> tuple[ErrorKind, str]:
    error = future.exception(0)
    assert isinstance(error, LakehouseError)
    return error.kind, error.code


def test_a_group_is_one_version_of_the_lake_and_one_of_the_dataset_per_request(lake, store):
    group = [request(lake, n) for n in (1, 2, 3)]
    lake._committer.publish(group)
    results = [one.future.result(0) for one in group]
    assert [result.version for result in results] == [1, 1, 1]
    assert [result.datasets[0].version for result in results] == [1, 2, 3]
    assert [result.datasets[0].row_count for result in results] == [1, 3, 6]
    assert len({result.commit_id for result in results}) == 1
    assert sum(key.startswith("catalog/manifests/") for key in store.writes) == 1
    assert audit(store).entry(TRIPS).version == 3
    assert [record.version for record in lake.history(TRIPS)] == [3, 2, 1]


def test_the_answers_of_a_group_point_to_the_manifest_that_was_written(lake):
    group = [request(lake, 1), request(lake, 2)]
    lake._committer.publish(group)
    newest = lake.snapshot().entry(TRIPS).manifest
    assert {one.future.result(0).datasets[0].manifest for one in group} == {newest}


def test_one_request_that_conflicts_fails_alone(lake, store):
    group = [request(lake, 1), request(lake, 2, schema=OTHER_SCHEMA), request(lake, 3)]
    lake._committer.publish(group)
    assert outcome(group[1].future) == (ErrorKind.CONFLICT, "schema_conflict")
    assert group[2].future.result(0).datasets[0].row_count == 4
    assert audit(store).entry(TRIPS).version == 2


def test_requests_that_become_ready_during_a_swap_share_the_next_one(lake, store):
    store.shut()
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(append, lake, 1)
        assert store.reached.wait(30)
        others = [pool.submit(append, lake, 1) for _ in range(8)]
        while lake._committer._queue.qsize() < 8:
            threading.Event().wait(0.001)
        store.gate.set()
        assert sorted(future.result(30) for future in [first, *others]) == list(range(1, 10))
    assert lake.snapshot().version == 2


def test_a_group_has_a_limit(store):
    settings = QUICK.model_copy(update={"group_commits": 3})
    with open_lake(store, settings) as lake:
        store.shut()
        with ThreadPoolExecutor(7) as pool:
            first = pool.submit(append, lake, 1)
            assert store.reached.wait(30)
            others = [pool.submit(append, lake, 1) for _ in range(6)]
            while lake._committer._queue.qsize() < 6:
                threading.Event().wait(0.001)
            store.gate.set()
            assert sorted(future.result(30) for future in [first, *others]) == list(range(1, 8))
        assert lake.snapshot().version == 3


def test_the_same_key_twice_in_one_group_adds_its_rows_once(lake, store):
    key = IdempotencyKey("k", "body")
    group = [request(lake, 5, idempotency=key), request(lake, 5, idempotency=key)]
    lake._committer.publish(group)
    first, second = (one.future.result(0) for one in group)
    assert (first.replayed, second.replayed) == (False, True)
    assert (second.rows, second.version, second.commit_id) == (5, first.version, first.commit_id)
    assert audit(store).entry(TRIPS).row_count == 5


def test_a_replay_is_answered_as_the_first_time_and_changes_nothing(lake, store):
    key = IdempotencyKey("k", "body")
    append(lake, 1)
    first = commit(lake, 5, idempotency=key)
    append(lake, 1)
    writes = len(store.writes)
    again = commit(lake, 5, idempotency=key)
    assert again.replayed
    assert (again.rows, again.version, again.commit_id, again.committed_at) == (
        5,
        first.version,
        first.commit_id,
        first.committed_at,
    )
    assert len(store.writes) == writes
    assert lake.snapshot().version == 3


def commit(lake: Lake, *rows: int, **keywords) -> CommitResult:
    transaction = lake.begin()
    transaction.create_or_append(TRIPS, SCHEMA, objects(*rows), **keywords)
    return transaction.commit()


def test_a_producer_that_repeats_itself_is_not_heard_twice(lake):
    for sequence in (1, 2, 2, 1, 3):
        commit(lake, 1, producer=ProducerSequence("p", sequence))
    assert lake.snapshot().entry(TRIPS).row_count == 3


def test_two_servers_with_the_same_key_add_its_rows_once(store):
    """The loser sees the key only when it applies its change again, on the winner's root."""
    key = IdempotencyKey("k", "body")
    with open_lake(store) as one, open_lake(store) as other:
        store.shut()
        with ThreadPoolExecutor(2) as pool:
            answers = [pool.submit(commit, server, 5, idempotency=key) for server in (one, other)]
            while store.writes.count(ROOT) < 3:
                threading.Event().wait(0.001)
            store.gate.set()
            first, second = sorted((answer.result(30) for answer in answers), key=lambda result: result.replayed)
    assert (first.replayed, second.replayed) == (False, True)
    assert second.version == first.version
    assert audit(store).entry(TRIPS).row_count == 5


def test_a_manifest_is_not_written_again_if_others_committed_elsewhere(store):
    with open_lake(store) as one, open_lake(store) as other:
        append(one, 1)
        append(one, 1, name=STOPS)
        store.shut()
        store.writes.clear()
        with ThreadPoolExecutor(2) as pool:
            answers = [pool.submit(append, one, 1), pool.submit(lambda: append(other, 1, name=STOPS))]
            while store.writes.count(ROOT) < 2:
                threading.Event().wait(0.001)
            store.gate.set()
            assert [answer.result(30) for answer in answers] == [2, 2]
    assert store.writes.count(ROOT) == 3
    assert sum(key.startswith("catalog/manifests/") for key in store.writes) == 2
    assert audit(store).version == 4


def test_times_rise_although_clocks_do_not(store):
    with open_lake(store) as lake:
        append(lake, 1)
    reader = CatalogReader("lake", store)
    committer = Committer(store, reader, QUICK, clock=lambda: datetime(2001, 1, 1, tzinfo=UTC))
    lake = Lake.__new__(Lake)
    lake.__dict__.update(name="lake", store=store, _reader=reader, _settings=QUICK, _committer=committer)
    before = lake.snapshot()
    for _ in range(3):
        append(lake, 1)
    group = [request(lake, 1), request(lake, 1)]
    committer.publish(group)
    committer.close()
    times = [record.committed_at for record in reversed(lake.history(TRIPS))]
    assert all(earlier < later for earlier, later in itertools.pairwise(times))
    assert before.committed_at < times[-1]
    audit(store)


def test_whoever_sees_no_answer_is_told_that_it_may_have_landed():
    store = BrokenStore()
    with open_lake(store, IMPATIENT) as lake:
        store.error = StoreUnavailableError("gone")
        with pytest.raises(LakehouseError) as caught:
            append(lake, 1)
        assert (caught.value.kind, caught.value.code) == (ErrorKind.OUTCOME_UNKNOWN, "commit_outcome_unknown")
        store.error = None
        assert append(lake, 1) == 1


def test_whoever_loses_every_race_is_told_that_it_is_a_conflict():
    store = BrokenStore()
    with open_lake(store, IMPATIENT.model_copy(update={"attempts": 10_000})) as lake, open_lake(store) as winner:

        def overtake() -> None:
            error, store.error = store.error, None
            append(winner, 1)
            store.error = error

        store.error, store.before = PreconditionFailedError(ROOT), overtake
        with pytest.raises(LakehouseError) as caught:
            append(lake, 1)
        assert (caught.value.kind, caught.value.code) == (ErrorKind.CONFLICT, "commit_contention")


def test_a_store_that_is_down_before_the_swap_leaves_nothing_in_doubt(monkeypatch, store):
    with open_lake(store, IMPATIENT) as lake:
        transaction = lake.begin()
        transaction.create_or_append(TRIPS, SCHEMA, objects(1))

        def refuse(*arguments):
            raise StoreUnavailableError("down")

        monkeypatch.setattr(store, "get_if_changed", refuse)
        with pytest.raises(LakehouseError) as caught:
            transaction.commit()
        assert (caught.value.kind, caught.value.code) == (ErrorKind.UNAVAILABLE, "store_unavailable")
        monkeypatch.undo()
        assert append(lake, 1) == 1


def test_a_store_that_hangs_does_not_hang_the_caller(store):
    with open_lake(store, IMPATIENT) as lake:
        store.shut()
        with pytest.raises(LakehouseError) as caught:
            append(lake, 1)
        assert caught.value.code == "commit_outcome_unknown"
        with pytest.raises(LakehouseError) as caught:
            append(lake, 1)
        assert caught.value.code == "store_unavailable", "it was never taken out of the queue"
        store.gate.set()
    assert audit(store).entry(TRIPS).version == 1


def test_a_commit_that_landed_long_ago_is_found_in_the_history(monkeypatch, store):
    """The answer is lost, and many others commit before the root can be read again."""
    rows = objects(7)
    with open_lake(store) as lake, open_lake(store) as other:
        put = store.put

        def lose_the_answer(key, data, condition):
            etag = put(key, data, condition)
            if key == ROOT:
                monkeypatch.setattr(store, "put", put)
                for _ in range(3):
                    append(other, 1)
                raise StoreUnavailableError("the answer was lost")
            return etag

        monkeypatch.setattr(store, "put", lose_the_answer)
        transaction = lake.begin()
        transaction.create_or_append(TRIPS, SCHEMA, rows)
        assert transaction.commit().version == 1
    assert keys_of(audit(store), TRIPS).count(rows["key"][0].as_py()) == 1


def test_a_commit_whose_history_was_collected_is_unknown(monkeypatch, store):
    with open_lake(store) as lake, open_lake(store) as other:
        put = store.put

        def lose_the_answer(key, data, condition):
            etag = put(key, data, condition)
            if key == ROOT:
                monkeypatch.setattr(store, "put", put)
                append(other, 1)
                store.delete([info.key for info in store.list("catalog/roots/")])
                raise StoreUnavailableError("the answer was lost")
            return etag

        monkeypatch.setattr(store, "put", lose_the_answer)
        with pytest.raises(LakehouseError) as caught:
            append(lake, 1)
        assert caught.value.code == "commit_outcome_unknown"


def test_rows_that_were_uploaded_before_the_floor_rose_are_not_committed(lake, store):
    transaction = lake.begin()
    transaction.create_or_append(TRIPS, SCHEMA, objects(1, epoch=transaction.base.epoch))
    replace_root(store, epoch=2, gc_floor=2)
    with pytest.raises(LakehouseError) as caught:
        transaction.commit()
    assert (caught.value.kind, caught.value.code) == (ErrorKind.CONFLICT, "epoch_expired")
    assert append(lake, 1) == 1
    assert "/e2/" in lake.snapshot().entry(TRIPS).manifest


def replace_root(store: MemoryStore, **changes) -> None:
    """Change the root past all protocol, as if another server had committed."""
    blob = store.get(ROOT)
    root = decode_root(blob.data, ROOT)
    changed = replace(root, version=root.version + 1, parent_commit_id=root.commit_id, commit_id="other", **changes)
    MemoryStore.put(store, ROOT, encode_root(changed), IfMatch(blob.etag))


def test_a_lake_of_a_newer_writer_is_read_but_not_written(lake, store):
    append(lake, 1)
    replace_root(store, min_writer=99)
    assert lake.snapshot().entry(TRIPS).row_count == 1
    with pytest.raises(LakehouseError) as caught:
        append(lake, 1)
    assert (caught.value.kind, caught.value.code) == (ErrorKind.UNIMPLEMENTED, "format_too_new")


def test_a_corrupt_root_stops_commits_and_is_named(lake, store):
    blob = store.get(ROOT)
    transaction = lake.begin()
    transaction.create(TRIPS, SCHEMA)
    store.put(ROOT, blob.data[:-9], IfMatch(blob.etag))
    with pytest.raises(LakehouseError, match=ROOT) as caught:
        transaction.commit()
    assert (caught.value.kind, caught.value.code) == (ErrorKind.INTERNAL, "catalog_corrupt")


def test_a_closed_lake_finishes_what_is_queued_and_takes_no_more(store):
    lake = open_lake(store)
    append(lake, 1)
    transaction = lake.begin()
    transaction.create_or_append(TRIPS, SCHEMA, objects(1))
    lake.close()
    with pytest.raises(LakehouseError) as caught:
        transaction.commit()
    assert caught.value.code == "lake_closed"
    assert lake.snapshot().entry(TRIPS).row_count == 1
