"""Every call of the store fails once, in every way: nothing acknowledged is lost, nothing is there twice.

The loop is SQLite's: let the n-th call fail, run, look; then the next n, until a run is clean.
"""

import random
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from audit import audit, keys_of
from faulty_store import Fault, FaultyStore
from lakes import QUICK, SCHEMA, STOPS, TRIPS, objects, open_lake

from catalog import ErrorKind, IdempotencyKey, Lake, LakehouseError, MemoryStore

FEW_ATTEMPTS = QUICK.model_copy(update={"attempts": 4})
LONG_ENOUGH = 400


class Step:
    """One transaction of the workload, with rows that only it has, and what its client was told."""

    def __init__(self, number: int) -> None:
        self.key = IdempotencyKey(str(number), "body")
        self.rows = objects(number + 1)
        self.other_rows = objects(number + 1)
        self.told: str | None = None

    def run(self, lake: Lake) -> None:
        """Add rows to two datasets at once."""
        transaction = lake.begin()
        transaction.create_or_append(TRIPS, SCHEMA, self.rows, idempotency=self.key)
        transaction.create_or_append(STOPS, SCHEMA, self.other_rows, idempotency=self.key)
        result = transaction.commit()
        assert result.rows == 2 * self.rows["rows"][0].as_py()

    def attempt(self, store) -> None:
        """Do it in a server of its own, which may fail already when it starts."""
        try:
            with open_lake(store, FEW_ATTEMPTS) as lake:
                self.run(lake)
            self.told = "committed"
        except LakehouseError as error:
            self.told = error.kind.value

    def times(self, snapshot) -> int:
        """Count how often the rows are there: both halves, or neither."""
        times = keys_of(snapshot, TRIPS).count(self.rows["key"][0].as_py())
        assert keys_of(snapshot, STOPS).count(self.other_rows["key"][0].as_py()) == times
        return times


def run_and_check(store: MemoryStore, faulty: FaultyStore) -> list[Step]:
    steps = [Step(number) for number in range(2)]
    for step in steps:
        step.attempt(faulty)
    faulty.arrive()
    with open_lake(store):
        snapshot = audit(store)
    for step in steps:
        assert step.told in ("committed", "outcome_unknown", "unavailable", "conflict")
        allowed = {"committed": {1}, "outcome_unknown": {0, 1}}.get(step.told, {0})
        assert step.times(snapshot) in allowed, step.told
    for step in steps:
        with open_lake(store) as lake:
            step.run(lake)
    snapshot = audit(store)
    assert [step.times(snapshot) for step in steps] == [1, 1]
    assert snapshot.entry(TRIPS).version == snapshot.entry(TRIPS).object_count == 2
    return steps


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "for ever"])
def test_the_nth_call_fails(fault, lasting):
    for failing in range(1, LONG_ENOUGH):

        def plan(number: int, operation: str, key: str, failing: int = failing) -> Fault | None:
            return fault if number == failing or (lasting and number > failing) else None

        store = MemoryStore()
        faulty = FaultyStore(store, plan)
        steps = run_and_check(store, faulty)
        if faulty.faults == 0:
            assert [step.told for step in steps] == ["committed"] * 2
            return
    pytest.fail("no run was clean")


@pytest.mark.parametrize("fault", Fault)
def test_a_fault_of_the_swap_alone_is_resolved_without_the_client(fault):
    """One unclear answer is no reason to bother anybody."""
    failed = []

    def plan(number: int, operation: str, key: str) -> Fault | None:
        if operation == "put" and key == "catalog/root.parquet" and len(failed) < 2:
            failed.append(number)
            return fault
        return None

    store = MemoryStore()
    with open_lake(store):
        pass
    step = Step(0)
    faulty = FaultyStore(store, plan)
    step.attempt(faulty)
    assert step.told == "committed"
    faulty.arrive()
    assert step.times(audit(store)) == 1


class Bank:
    """Two accounts. A balance is the number of rows of a dataset."""

    def __init__(self, store: MemoryStore) -> None:
        with open_lake(store) as lake:
            transaction = lake.begin()
            transaction.create(TRIPS, SCHEMA, objects=objects(1000))
            transaction.create(STOPS, SCHEMA, objects=objects(1000))
            transaction.commit()

    def pay_in(self, lake: Lake) -> None:
        """Add one row ten times, repeating each time until the answer is clear. All servers have the same ten keys."""
        for number in range(10):
            while not self._is_clear(self._append, lake, IdempotencyKey(str(number), "body")):
                pass

    def transfer(self, lake: Lake) -> None:
        """Move money ten times, replacing the rows of both accounts; try only once."""
        for _ in range(10):
            self._is_clear(self._move, lake)

    def _append(self, lake: Lake, key: IdempotencyKey) -> None:
        transaction = lake.begin()
        transaction.create_or_append(TRIPS, SCHEMA, objects(1), idempotency=key)
        transaction.commit()

    def _move(self, lake: Lake) -> None:
        snapshot = lake.snapshot()
        here, there = (snapshot.entry(name).row_count for name in (TRIPS, STOPS))
        transaction = lake.begin(snapshot)
        transaction.overwrite(TRIPS, SCHEMA, objects(here - 7))
        transaction.overwrite(STOPS, SCHEMA, objects(there + 7))
        transaction.commit()

    def _is_clear(self, action, *arguments) -> bool:
        try:
            action(*arguments)
        except LakehouseError as error:
            if error.kind not in (ErrorKind.CONFLICT, ErrorKind.OUTCOME_UNKNOWN, ErrorKind.UNAVAILABLE):
                raise
            return False
        return True


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_bank_keeps_its_money_however_the_store_behaves(seed):
    """Two servers transfer and pay in, a reader watches, and one call of the store in ten fails somehow."""
    store, chance, lock = MemoryStore(), random.Random(seed), threading.Lock()

    def plan(number: int, operation: str, key: str) -> Fault | None:
        with lock:
            return chance.choice(list(Fault)) if chance.random() < 0.1 else None

    bank = Bank(store)
    servers = [open_lake(FaultyStore(store, lambda *call: None)) for _ in range(2)]
    for server in servers:
        server.store.plan = plan
    with ThreadPoolExecutor(4) as pool, open_lake(store) as reader:
        running = {pool.submit(job, server) for job in (bank.pay_in, bank.transfer) for server in servers}
        totals = []
        while running:
            done, running = wait(running, timeout=0.005)
            assert [job.result() for job in done] == [None] * len(done)
            totals.append(sum(entry.row_count for entry in reader.snapshot().entries()))
    assert totals == sorted(totals), "money came or went"
    for server in servers:
        server.store.arrive()
        server.close()
    assert sum(entry.row_count for entry in audit(store).entries()) == 2010
