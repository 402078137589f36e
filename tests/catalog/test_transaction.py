import pytest
from audit import audit
from lakes import OTHER_SCHEMA, SCHEMA, STOPS, TRIPS, append, objects, open_lake

from catalog import (
    OBJECTS,
    DatasetName,
    ErrorKind,
    IdempotencyKey,
    Lake,
    LakehouseError,
    MemoryStore,
    Transaction,
    new_dataset_id,
)
from catalog.schema import fingerprint


@pytest.fixture
def lake():
    with open_lake(MemoryStore()) as lake:
        yield lake
        audit(lake.store)


def pinned(lake: Lake) -> Transaction:
    return lake.begin(lake.snapshot())


def refusal(action, *arguments, **keywords) -> tuple[ErrorKind, str]:
    with pytest.raises(LakehouseError) as caught:
        action(*arguments, **keywords)
    return caught.value.kind, caught.value.code


def drop(lake: Lake) -> None:
    transaction = lake.begin()
    transaction.drop(TRIPS)
    transaction.commit()


def overwrite(lake: Lake, rows: int, **keywords):
    transaction = lake.begin()
    transaction.overwrite(TRIPS, SCHEMA, objects(rows), **keywords)
    return transaction.commit()


CONFLICT = (ErrorKind.CONFLICT, "commit_conflict")
NOT_FOUND = (ErrorKind.NOT_FOUND, "dataset_not_found")


def test_a_transaction_sees_its_own_writes_and_nobody_else_does(lake):
    append(lake, 1)
    transaction = pinned(lake)
    entry = transaction.base.entry(TRIPS)
    transaction.append(TRIPS, entry.dataset_id, entry.schema_fingerprint, objects(2))
    transaction.create(STOPS, SCHEMA, objects=objects(5))
    own = transaction.snapshot()
    assert [(entry.name, entry.row_count) for entry in own.entries()] == [(STOPS, 5), (TRIPS, 3)]
    assert own.manifest(own.entry(TRIPS)).objects.num_rows == 2
    assert [entry.row_count for entry in lake.snapshot().entries()] == [1]
    result = transaction.commit()
    assert result.rows == 7
    assert [(entry.name, entry.row_count) for entry in result.datasets] == [(STOPS, 5), (TRIPS, 3)]
    assert lake.snapshot().version == result.version


def test_a_transaction_sees_nothing_of_what_others_commit_meanwhile(lake):
    append(lake, 1)
    transaction = pinned(lake)
    append(lake, 2)
    assert transaction.snapshot().entry(TRIPS).row_count == 1


def test_appends_of_two_transactions_are_both_kept(lake):
    append(lake, 1)
    one, other = pinned(lake), pinned(lake)
    for transaction in (one, other):
        entry = transaction.base.entry(TRIPS)
        transaction.append(TRIPS, entry.dataset_id, entry.schema_fingerprint, objects(10))
        transaction.commit()
    assert lake.snapshot().entry(TRIPS).row_count == 21


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda lake: append(lake, 1),
        drop,
        lambda lake: overwrite(lake, 9),
    ],
    ids=["append", "drop", "overwrite"],
)
@pytest.mark.parametrize(
    "write",
    [
        lambda transaction: transaction.overwrite(TRIPS, SCHEMA, objects(5)),
        lambda transaction: transaction.drop(TRIPS),
        lambda transaction: transaction.create(TRIPS, SCHEMA, if_exists="replace"),
    ],
    ids=["overwrite", "drop", "replace"],
)
def test_whoever_replaces_what_others_changed_meanwhile_conflicts(lake, write, meanwhile):
    append(lake, 1)
    transaction = pinned(lake)
    write(transaction)
    transaction.create(STOPS, SCHEMA)
    meanwhile(lake)
    assert refusal(transaction.commit) == CONFLICT
    assert lake.snapshot().find(STOPS) is None, "all or nothing"


def test_what_others_change_elsewhere_is_no_conflict(lake):
    append(lake, 1)
    append(lake, 1, name=STOPS)
    transaction = pinned(lake)
    transaction.overwrite(TRIPS, SCHEMA, objects(5))
    append(lake, 1, name=STOPS)
    transaction.commit()
    assert [entry.row_count for entry in lake.snapshot().entries()] == [2, 5]


def test_creating_what_others_created_meanwhile_conflicts(lake):
    transaction = pinned(lake)
    transaction.create(TRIPS, SCHEMA)
    append(lake, 1)
    assert refusal(transaction.commit) == CONFLICT


def test_registering_what_others_created_meanwhile_is_fine_if_the_schemas_agree(lake):
    same, other = pinned(lake), pinned(lake)
    same.create(TRIPS, SCHEMA, if_exists="register")
    other.create(TRIPS, OTHER_SCHEMA, if_exists="register")
    append(lake, 1)
    assert same.commit().datasets[0].row_count == 1
    assert refusal(other.commit) == (ErrorKind.CONFLICT, "schema_conflict")


def test_an_append_does_not_go_to_another_dataset_of_the_same_name(lake):
    append(lake, 1)
    transaction = pinned(lake)
    entry = transaction.base.entry(TRIPS)
    transaction.append(TRIPS, entry.dataset_id, entry.schema_fingerprint, objects(2))
    drop(lake)
    append(lake, 1)
    assert refusal(transaction.commit) == NOT_FOUND


def test_a_dataset_that_is_created_again_has_another_id(lake):
    append(lake, 1)
    seen = lake.begin()
    first = seen.base.entry(TRIPS).dataset_id
    seen.create_or_append(TRIPS, SCHEMA, objects(2), dataset_id=first)
    drop(lake)
    entry = seen.commit().datasets[0]
    assert entry.dataset_id != first
    assert (entry.version, entry.row_count) == (1, 2)


def test_a_dataset_is_created_under_the_id_that_its_objects_were_written_under(lake):
    dataset_id = new_dataset_id()
    transaction = lake.begin()
    transaction.create_or_append(TRIPS, SCHEMA, objects(2), dataset_id=dataset_id)
    assert transaction.commit().datasets[0].dataset_id == dataset_id
    assert overwrite(lake, 1, dataset_id=new_dataset_id()).datasets[0].dataset_id == dataset_id


def test_without_a_pin_the_newest_state_decides(lake):
    transaction = lake.begin()
    transaction.overwrite(TRIPS, SCHEMA, objects(5))
    late = lake.begin()
    late.append(TRIPS, "d", fingerprint(SCHEMA), objects(1))
    append(lake, 1)
    assert transaction.commit().datasets[0].version == 2
    assert refusal(late.commit) == NOT_FOUND, "its id is another one"
    assert lake.snapshot().entry(TRIPS).row_count == 5


def test_a_pinned_transaction_hears_at_once_what_is_wrong(lake):
    append(lake, 1)
    transaction = pinned(lake)
    assert refusal(transaction.create, TRIPS, SCHEMA) == (ErrorKind.ALREADY_EXISTS, "dataset_already_exists")
    assert refusal(transaction.drop, STOPS) == NOT_FOUND
    transaction.drop(TRIPS)
    transaction.create(TRIPS, OTHER_SCHEMA)
    assert transaction.commit().datasets[0].schema_fingerprint == fingerprint(OTHER_SCHEMA)


def test_a_pinned_transaction_with_a_key_can_be_repeated(lake):
    """The repetition finds its own first commit, which is no conflict."""
    append(lake, 1)
    key = IdempotencyKey("k", "body")
    transactions = [pinned(lake), pinned(lake)]
    results = []
    for transaction in transactions:
        transaction.overwrite(TRIPS, SCHEMA, objects(5), idempotency=key)
        results.append(transaction.commit())
    assert [result.replayed for result in results] == [False, True]
    assert results[0].version == results[1].version
    assert lake.snapshot().entry(TRIPS).version == 2


def test_steps_on_one_dataset_are_versions_of_their_own(lake):
    transaction = pinned(lake)
    transaction.create(TRIPS, SCHEMA, objects=objects(1))
    transaction.create_or_append(TRIPS, SCHEMA, objects(2))
    transaction.overwrite(TRIPS, SCHEMA, objects(4))
    result = transaction.commit()
    assert (result.version, result.rows) == (1, 7)
    assert [(record.operation, record.version) for record in lake.history(TRIPS)] == [
        ("overwrite", 3),
        ("append", 2),
        ("create", 1),
    ]


def test_schemas_are_created_and_dropped(lake):
    transaction = lake.begin()
    transaction.create_schema("Raw")
    transaction.create(DatasetName("RAW", "Trips"), SCHEMA)
    transaction.commit()
    assert lake.snapshot().schemas() == ["main", "raw"]
    assert lake.snapshot().find(DatasetName("raw", "trips")) is not None
    transaction = lake.begin()
    transaction.drop(DatasetName("raw", "trips"))
    transaction.drop_schema("raw")
    transaction.commit()
    assert lake.snapshot().schemas() == ["main"]


def test_a_schema_is_not_dropped_under_a_dataset_that_came_meanwhile(lake):
    transaction = lake.begin()
    transaction.create_schema("raw")
    transaction.commit()
    transaction = pinned(lake)
    transaction.drop_schema("raw")
    append(lake, 1, name=DatasetName("raw", "trips"))
    assert refusal(transaction.commit) == (ErrorKind.CONFLICT, "schema_not_empty")


def test_nothing_to_do_makes_no_version(lake):
    append(lake, 1)
    version = lake.snapshot().version
    assert lake.begin().commit().version == version
    transaction = lake.begin()
    transaction.create(TRIPS, SCHEMA, if_exists="ignore")
    transaction.drop(STOPS, if_exists=True)
    result = transaction.commit()
    assert (result.version, result.rows, result.replayed) == (version, 0, False)
    assert lake.snapshot().version == version


def test_a_transaction_is_over_after_commit_and_rollback(lake):
    transaction = lake.begin()
    transaction.create(TRIPS, SCHEMA)
    transaction.rollback()
    finished = (ErrorKind.INVALID_ARGUMENT, "transaction_finished")
    assert refusal(transaction.commit) == finished
    assert refusal(transaction.drop, TRIPS) == finished
    assert lake.snapshot().entries() == []


@pytest.mark.parametrize("key", ["catalog/root.parquet", "/etc/passwd", "data/d/e1/../x"])
def test_objects_outside_the_data_are_refused(lake, key):
    foreign = objects(1).to_pylist()[0] | {"key": key}
    table = objects().from_pylist([foreign], OBJECTS)
    assert refusal(lake.begin().create_or_append, TRIPS, SCHEMA, table)[0] is ErrorKind.INTERNAL


def test_the_author_is_remembered(lake):
    transaction = lake.begin(author="ann")
    transaction.create(TRIPS, SCHEMA)
    transaction.commit()
    snapshot = lake.snapshot()
    assert snapshot.manifest(snapshot.entry(TRIPS)).author == "ann"
