"""The conflict rules, on drafts: no store, no threads."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from lakes import OTHER_SCHEMA, SCHEMA, STOPS, TRIPS, objects

from catalog import DATASETS, CommitSettings, DatasetName, ErrorKind, IdempotencyKey, LakehouseError, ProducerSequence
from catalog.changes import Append, Create, CreateOrAppend, CreateSchema, Drop, DropSchema, Overwrite, Target
from catalog.draft import Draft
from catalog.exactly_once import CommitContext, Rows
from catalog.model import Root
from catalog.schema import fingerprint
from catalog.snapshot import Snapshot

AT = datetime(2026, 3, 1, tzinfo=UTC)
KEY = IdempotencyKey("key", "body")
SETTINGS = CommitSettings(log_entries=3, ingest_keys=2, ingest_key_seconds=60, producers=2)
ROOT = Root(7, "c7", "c6", AT, epoch=3, gc_floor=2, history_floor=0, datasets=DATASETS.empty_table())
EMPTY = Draft.on(Snapshot("lake", ROOT, lambda key: pytest.fail(f"{key} was read")))


def context(seconds: float = 1) -> CommitContext:
    return CommitContext("c8", 8, AT + timedelta(seconds=seconds), "ann", SETTINGS)


def target(dataset_id: str = "d", schema=SCHEMA) -> Target:
    return Target(dataset_id, schema, fingerprint(schema))


def rows(
    *counts: int, key: IdempotencyKey | None = None, producer: ProducerSequence | None = None, epoch: int = 3
) -> Rows:
    return Rows(objects(*counts, epoch=epoch), key, producer)


def create(*counts: int, **keywords) -> Create:
    return Create(TRIPS, target(), rows(*counts), **keywords)


def append(*counts: int, dataset_id: str = "d", schema=SCHEMA, **keywords) -> Append:
    return Append(TRIPS, dataset_id, fingerprint(schema), rows(*counts, **keywords))


def applied(draft: Draft, *changes, at: CommitContext | None = None):
    outcome = None
    for change in changes:
        outcome = change.apply(draft, at or context())
        draft = outcome.draft
    return outcome


def state(*changes) -> Draft:
    return applied(EMPTY, *changes).draft


def refusal(draft: Draft, change) -> tuple[ErrorKind, str]:
    with pytest.raises(LakehouseError) as caught:
        change.apply(draft, context())
    return caught.value.kind, caught.value.code


def test_a_new_dataset_has_version_1_and_its_rows():
    manifest = state(create(3, 4)).manifest(TRIPS)
    assert (manifest.version, manifest.row_count, manifest.operation, manifest.author) == (1, 7, "create", "ann")
    assert manifest.created_at == manifest.updated_at == context().at
    assert manifest.objects["added_version"].to_pylist() == [1, 1]


def test_every_append_raises_the_version_and_the_time():
    draft = state(create(1), append(2), append(3))
    manifest = draft.manifest(TRIPS)
    assert (manifest.version, manifest.row_count) == (3, 6)
    assert manifest.objects["added_version"].to_pylist() == [1, 2, 3]
    times = [record.committed_at for record in manifest.log]
    assert times == sorted(set(times))
    assert [(record.version, record.rows_added) for record in manifest.log] == [(1, 1), (2, 2), (3, 3)]


def test_the_log_is_bounded():
    draft = state(create(), *(append(1) for _ in range(5)))
    assert [record.version for record in draft.manifest(TRIPS).log] == [4, 5, 6]


def test_a_change_leaves_the_draft_before_as_it_was():
    before = state(create(1))
    append(2).apply(before, context())
    assert before.manifest(TRIPS).row_count == 1


def test_rows_are_not_added_to_a_dataset_that_is_missing_or_another_one():
    assert refusal(EMPTY, append(1)) == (ErrorKind.NOT_FOUND, "dataset_not_found")
    assert refusal(state(create()), append(1, dataset_id="other")) == (ErrorKind.NOT_FOUND, "dataset_not_found")


def test_rows_are_not_added_to_another_schema():
    assert refusal(state(create()), append(1, schema=OTHER_SCHEMA)) == (ErrorKind.CONFLICT, "schema_conflict")
    change = CreateOrAppend(TRIPS, target(schema=OTHER_SCHEMA), rows(1))
    assert refusal(state(create()), change) == (ErrorKind.CONFLICT, "schema_conflict")


def test_whoever_loses_the_race_to_create_a_dataset_appends_to_it():
    draft = state(CreateOrAppend(TRIPS, target("first"), rows(1)), CreateOrAppend(TRIPS, target("second"), rows(2)))
    assert draft.find(TRIPS).dataset_id == "first"
    assert draft.find(TRIPS).row_count == 3


def test_a_name_is_taken_only_once():
    assert refusal(state(create()), create()) == (ErrorKind.ALREADY_EXISTS, "dataset_already_exists")


def test_a_dataset_that_exists_can_be_left_alone_registered_or_replaced():
    draft = state(create(1))
    assert applied(draft, create(2, if_exists="ignore")).draft is draft
    assert applied(draft, create(if_exists="register")).draft is draft
    other = Create(TRIPS, target(schema=OTHER_SCHEMA), rows(), "register")
    assert refusal(draft, other) == (ErrorKind.CONFLICT, "schema_conflict")
    replaced = applied(draft, Create(TRIPS, target("new", OTHER_SCHEMA), rows(5), "replace")).draft.manifest(TRIPS)
    assert (replaced.dataset_id, replaced.version, replaced.row_count) == ("new", 1, 5)


def test_overwriting_keeps_the_dataset_and_its_history():
    manifest = state(create(3), Overwrite(TRIPS, target("x", OTHER_SCHEMA), rows(5))).manifest(TRIPS)
    assert (manifest.dataset_id, manifest.version, manifest.row_count) == ("d", 2, 5)
    assert manifest.schema == OTHER_SCHEMA
    assert [(record.operation, record.rows_added, record.rows_removed) for record in manifest.log] == [
        ("create", 3, 0),
        ("overwrite", 5, 3),
    ]


def test_overwriting_may_keep_objects_that_are_there():
    draft = state(create(3))
    kept = draft.manifest(TRIPS).objects
    manifest = applied(draft, Overwrite(TRIPS, target(), Rows(kept))).draft.manifest(TRIPS)
    assert manifest.objects["added_version"].to_pylist() == [1]
    assert manifest.row_count == 3


def test_a_dropped_dataset_is_gone_and_its_name_free():
    draft = state(create(3), Drop(TRIPS))
    assert draft.find(TRIPS) is None
    assert refusal(draft, Drop(TRIPS)) == (ErrorKind.NOT_FOUND, "dataset_not_found")
    assert applied(draft, Drop(TRIPS, if_exists=True)).draft is draft
    assert applied(draft, create(1)).draft.find(TRIPS).version == 1


def test_datasets_live_in_schemas_that_exist():
    raw = DatasetName("raw", "trips")
    assert refusal(EMPTY, Create(raw, target(), rows())) == (ErrorKind.NOT_FOUND, "schema_not_found")
    draft = state(CreateSchema("raw"), Create(raw, target(), rows()))
    assert draft.find(raw) is not None
    assert refusal(draft, CreateSchema("raw")) == (ErrorKind.ALREADY_EXISTS, "schema_already_exists")
    assert refusal(draft, DropSchema("raw")) == (ErrorKind.CONFLICT, "schema_not_empty")
    assert "raw" not in applied(draft, Drop(raw), DropSchema("raw")).draft.schemas
    assert refusal(draft, DropSchema("main")) == (ErrorKind.INVALID_ARGUMENT, "reserved_name")
    assert refusal(draft, DropSchema("other")) == (ErrorKind.NOT_FOUND, "schema_not_found")


def test_the_same_key_adds_its_rows_once_and_gets_the_first_answer():
    draft = state(create(), append(3, key=KEY), append(1))
    again = applied(draft, append(3, key=KEY))
    assert again.draft is draft
    assert again.replayed
    assert (again.rows, again.first.version, again.first.snapshot) == (3, 2, 8)


@pytest.mark.parametrize("change", [Create, CreateOrAppend, Overwrite])
def test_a_key_that_created_a_dataset_replays(change):
    draft = state(change(TRIPS, target(), rows(3, key=KEY)))
    again = applied(draft, change(TRIPS, target("other"), rows(3, key=KEY)))
    assert again.replayed
    assert again.draft is draft


@pytest.mark.parametrize(
    "change",
    [Overwrite(TRIPS, target(), rows(9)), Create(TRIPS, target("new"), rows(9), "replace")],
)
def test_keys_and_producers_survive_that_the_rows_are_replaced(change):
    draft = state(create(), append(3, key=KEY), append(1, producer=ProducerSequence("p", 4)), change)
    assert applied(draft, CreateOrAppend(TRIPS, target(), rows(3, key=KEY))).replayed
    assert applied(draft, CreateOrAppend(TRIPS, target(), rows(1, producer=ProducerSequence("p", 4)))).replayed


def test_a_key_with_another_body_is_refused():
    draft = state(create(), append(3, key=KEY))
    change = append(3, key=replace(KEY, body_hash="other"))
    assert refusal(draft, change) == (ErrorKind.INVALID_ARGUMENT, "idempotency_key_reused")


def test_a_sequence_number_up_to_the_highest_is_a_replay():
    draft = state(create(), append(1, producer=ProducerSequence("p", 5)))
    for sequence in (0, 4, 5):
        again = applied(draft, append(2, producer=ProducerSequence("p", sequence)))
        assert (again.replayed, again.rows) == (True, 2)
    assert not applied(draft, append(2, producer=ProducerSequence("p", 6))).replayed
    assert not applied(draft, append(2, producer=ProducerSequence("q", 0))).replayed


def test_keys_are_forgotten_by_number_and_by_age():
    draft = state(create(), *(append(1, key=IdempotencyKey(str(n), "b")) for n in range(3)))
    assert [key.version for key in draft.manifest(TRIPS).ingest_keys] == [3, 4]
    later = applied(draft, append(1), at=context(61.5)).draft
    assert later.manifest(TRIPS).ingest_keys == ()


def test_the_producers_that_were_silent_longest_are_forgotten():
    producers = [ProducerSequence(name, 1) for name in ("p", "q")] + [
        ProducerSequence("p", 2),
        ProducerSequence("r", 1),
    ]
    draft = state(create(), *(append(1, producer=producer) for producer in producers))
    assert draft.manifest(TRIPS).producers == {"p": 2, "r": 1}


def test_objects_that_may_be_collected_already_are_not_committed():
    expired = (ErrorKind.CONFLICT, "epoch_expired")
    assert refusal(EMPTY, Create(TRIPS, target(), rows(1, epoch=1))) == expired
    draft = state(create())
    assert refusal(draft, append(1, epoch=1)) == expired
    assert refusal(draft, Overwrite(TRIPS, target(), rows(1, epoch=1))) == expired
    assert applied(draft, append(1, epoch=2)).draft.find(TRIPS).row_count == 1


def test_objects_that_are_in_already_are_not_added_again():
    change = append(3)
    draft = state(create(), change)
    again = applied(draft, change)
    assert again.replayed
    assert again.draft is draft


def test_a_draft_shows_what_it_changed_and_what_it_did_not():
    draft = state(create(1), Create(STOPS, target("s"), rows(2)), CreateSchema("raw"))
    snapshot = draft.snapshot()
    assert [entry.name for entry in snapshot.entries()] == [STOPS, TRIPS]
    assert snapshot.schemas() == ["main", "raw"]
    assert snapshot.manifest(snapshot.entry(STOPS)).row_count == 2
    assert snapshot.version == 7
    root = draft.root(version=8, commit_id="c8", committed_at=context().at)
    assert (root.parent_commit_id, root.epoch, root.gc_floor) == ("c7", 3, 2)
    on_top = Draft.on(Snapshot("lake", root, snapshot.manifest)).with_staged(TRIPS, None)
    assert [entry.name for entry in on_top.snapshot().entries("main")] == [STOPS]
