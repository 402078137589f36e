"""A transaction: changes are collected here, and nobody else sees them until :meth:`Transaction.commit`.

    transaction = lake.begin()                      # autocommit: whatever is newest at the commit
    transaction = lake.begin(lake.snapshot())       # pinned: what it writes must not have changed meanwhile
    transaction.append(name, entry.dataset_id, entry.schema_fingerprint, writer.close())
    result = transaction.commit()

Rows are on the store already when they get here; dropping a transaction leaves them to garbage collection.
"""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from .changes import Append, Change, Create, CreateOrAppend, CreateSchema, Drop, DropSchema, IfExists, Overwrite, Target
from .codec import check_objects
from .commit import Committer
from .draft import Draft
from .errors import ErrorKind, LakehouseError
from .exactly_once import CommitContext, Rows
from .model import OBJECTS, CommitResult, DatasetName, IdempotencyKey, ProducerSequence
from .names import check_dataset_name, check_schema_name
from .paths import new_dataset_id
from .proposal import Proposal, Seen
from .schema import fingerprint
from .settings import CommitSettings
from .snapshot import Snapshot


class Transaction:
    """A list of changes to one lake, committed together or not at all. Not safe for use from several threads at once.

    Args:
        committer: where the commit goes.
        base: the snapshot that the transaction began with.
        pinned: whether the datasets that it replaces or drops must be the same at the commit.
        author: who does it, for the history.
    """

    def __init__(
        self, committer: Committer, base: Snapshot, settings: CommitSettings, *, pinned: bool, author: str = ""
    ) -> None:
        self.base = base
        self._committer = committer
        self._settings = settings
        self._is_pinned = pinned
        self._author = author
        self._changes: list[Change] = []
        self._pinned: dict[DatasetName, Seen] = {}
        self._draft = Draft.on(base)
        self._finished = False

    def snapshot(self) -> Snapshot:
        """Show the base with the transaction's own changes; raise what makes one of them impossible there."""
        draft = self._draft
        if not self._is_pinned:
            for change in self._changes:
                draft = change.apply(draft, self._context()).draft
        return draft.snapshot() if draft.changed else self.base

    def create(
        self,
        name: DatasetName,
        schema: pa.Schema,
        *,
        objects: pa.Table | None = None,
        dataset_id: str | None = None,
        if_exists: IfExists = "fail",
        idempotency: IdempotencyKey | None = None,
        producer: ProducerSequence | None = None,
    ) -> None:
        """Create a dataset.

        Args:
            name: any case; it is folded.
            schema: what ``storable_schema`` returned.
            objects: its first rows.
            dataset_id: the fresh id that the objects were written under.
            if_exists: ``fail``: ALREADY_EXISTS. ``ignore``: do nothing. ``register``: do nothing if the schemas
                agree, else CONFLICT. ``replace``: drop it and create another one, with another id.
            idempotency: makes the creation exactly-once.
            producer: the same by sequence number.
        """
        name = check_dataset_name(name)
        rows = _rows(objects, idempotency, producer)
        self._stage(Create(name, self._target(name, schema, dataset_id), rows, if_exists))

    def append(
        self,
        name: DatasetName,
        dataset_id: str,
        schema_fingerprint: str,
        objects: pa.Table,
        *,
        idempotency: IdempotencyKey | None = None,
        producer: ProducerSequence | None = None,
    ) -> None:
        """Add rows to the dataset with this id: NOT_FOUND if it was dropped, CONFLICT if its schema is another one."""
        rows = _rows(objects, idempotency, producer)
        self._stage(Append(check_dataset_name(name), dataset_id, schema_fingerprint, rows))

    def create_or_append(
        self,
        name: DatasetName,
        schema: pa.Schema,
        objects: pa.Table,
        *,
        dataset_id: str | None = None,
        idempotency: IdempotencyKey | None = None,
        producer: ProducerSequence | None = None,
    ) -> None:
        """Add rows to a dataset, creating it if it is missing.

        Args:
            name: any case; it is folded.
            schema: schema of the rows; CONFLICT if the dataset has another one.
            objects: the rows.
            dataset_id: id that the objects were written under: that of :attr:`base`'s entry, or a fresh one. Whoever
                loses the race to create the dataset appends to the winner's.
            idempotency: makes it exactly-once.
            producer: the same by sequence number.
        """
        name = check_dataset_name(name)
        rows = _rows(objects, idempotency, producer)
        self._stage(CreateOrAppend(name, self._target(name, schema, dataset_id), rows))

    def overwrite(
        self,
        name: DatasetName,
        schema: pa.Schema,
        objects: pa.Table | None = None,
        *,
        dataset_id: str | None = None,
        idempotency: IdempotencyKey | None = None,
        producer: ProducerSequence | None = None,
    ) -> None:
        """Replace schema and rows of a dataset, which keeps its id; create it if it is missing.

        Objects that the dataset has already may be among the new ones: their rows are kept.
        """
        name = check_dataset_name(name)
        rows = _rows(objects, idempotency, producer)
        self._stage(Overwrite(name, self._target(name, schema, dataset_id), rows))

    def drop(self, name: DatasetName, *, if_exists: bool = False) -> None:
        """Remove a dataset."""
        self._stage(Drop(check_dataset_name(name), if_exists))

    def create_schema(self, name: str, *, if_not_exists: bool = False) -> None:
        """Create a schema."""
        self._stage(CreateSchema(check_schema_name(name), if_not_exists))

    def drop_schema(self, name: str, *, if_exists: bool = False) -> None:
        """Remove a schema that holds no datasets."""
        self._stage(DropSchema(check_schema_name(name), if_exists))

    def commit(self) -> CommitResult:
        """Commit all changes in one step.

        Raises:
            LakehouseError: CONFLICT (others were first), OUTCOME_UNKNOWN (it may have landed), or what is wrong with a
                change. The transaction is over in any case.
        """
        self._check_open()
        self._finished = True
        if not self._changes:
            base = self.base
            return CommitResult(base.commit_id, base.version, base.committed_at, replayed=False, rows=0, datasets=())
        return self._committer.commit(Proposal(tuple(self._changes), self._author, dict(self._pinned)))

    def rollback(self) -> None:
        """Forget all changes."""
        self._finished = True
        self._changes.clear()

    def _stage(self, change: Change) -> None:
        """Take a change in. A pinned transaction sees at once what is wrong with it; for others only the commit knows."""
        self._check_open()
        if self._is_pinned:
            self._draft = change.apply(self._draft, self._context()).draft
            if not change.rebases and isinstance(change.name, DatasetName):
                seen = self.base.find(change.name)
                self._pinned[change.name] = None if seen is None else (seen.dataset_id, seen.version)
        self._changes.append(change)

    def _context(self) -> CommitContext:
        base = self.base
        at = max(datetime.now(UTC), base.committed_at + timedelta(microseconds=1))
        return CommitContext(base.commit_id, base.version + 1, at, self._author, self._settings)

    def _target(self, name: DatasetName, schema: pa.Schema, dataset_id: str | None) -> Target:
        """Name the dataset to create. One that is dropped meanwhile must not come back under its old id."""
        known = self.base.find(name)
        if dataset_id is None or (known is not None and known.dataset_id == dataset_id):
            dataset_id = new_dataset_id()
        return Target(dataset_id, schema, fingerprint(schema))

    def _check_open(self) -> None:
        if self._finished:
            raise LakehouseError(ErrorKind.INVALID_ARGUMENT, "transaction_finished", "The transaction is over.")


def _rows(objects: pa.Table | None, idempotency: IdempotencyKey | None, producer: ProducerSequence | None) -> Rows:
    table = OBJECTS.empty_table() if objects is None else objects.cast(OBJECTS)
    check_objects(table, pc.sum(table["rows"]).as_py() or 0)
    return Rows(table, idempotency, producer)
