"""A commit is data: changes, and pure functions that apply them to the newest state of the lake.

The committer applies a change again on every newer root, for as long as it takes. So all conflict rules are here, and
nowhere else:

    we do             when meanwhile, on the same dataset ...
                      rows were added | rows were replaced | it was dropped or re-created | our key was seen
    Append            rebase          | rebase             | NOT_FOUND                    | the first answer
    CreateOrAppend    rebase          | rebase             | create or append             | the first answer
    Create            ALREADY_EXISTS, or what ``if_exists`` says                           | the first answer
    Overwrite         last one wins; in a pinned transaction: CONFLICT                     | the first answer
    Drop              last one wins; in a pinned transaction: CONFLICT                     | has no key

Rows never go into a dataset of another schema: CONFLICT ``schema_conflict``.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import ClassVar, Literal, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from .codec import check_writable
from .draft import Draft, schema_not_found
from .errors import ErrorKind, LakehouseError
from .exactly_once import CommitContext, Rows, find_replay, remember_key, remember_producer
from .model import OBJECTS, CommitRecord, DatasetName, IngestKey, Manifest
from .names import DEFAULT_SCHEMA
from .snapshot import dataset_not_found

IfExists = Literal["fail", "ignore", "register", "replace"]


@dataclass(frozen=True, slots=True)
class Applied:
    """A draft with one more change.

    Attributes:
        rows: rows that the change added, or that it had added when it was seen first.
        replayed: nothing was done because the change was committed before.
        first: the first answer, if it is remembered.
    """

    draft: Draft
    rows: int = 0
    replayed: bool = False
    first: IngestKey | None = None


class Change(Protocol):
    """One step of a transaction."""

    @property
    def name(self) -> DatasetName | str:
        """The dataset or the schema that it changes."""
        ...

    @property
    def rebases(self) -> bool:
        """Whether a pinned transaction may apply it although others changed the dataset meanwhile."""
        ...

    def apply(self, draft: Draft, context: CommitContext) -> Applied:
        """Apply the change to a draft, or raise what makes it impossible."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """The dataset that a change makes: its id if it has to be created, and its schema."""

    dataset_id: str
    schema: pa.Schema
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Append:
    """Add rows to a dataset that exists."""

    name: DatasetName
    dataset_id: str
    fingerprint: str
    rows: Rows
    rebases: ClassVar[bool] = True

    def apply(self, draft: Draft, context: CommitContext) -> Applied:
        """Add the rows; NOT_FOUND if it is not the dataset that the caller saw."""
        current = draft.manifest(self.name)
        if replay := _replay(draft, current, self.rows):
            return replay
        if current is None or current.dataset_id != self.dataset_id:
            raise dataset_not_found(self.name, draft.base.names())
        return _append(draft, current, self.fingerprint, self.rows, context)


@dataclass(frozen=True, slots=True)
class CreateOrAppend:
    """Add rows to a dataset, which is created if it is missing."""

    name: DatasetName
    target: Target
    rows: Rows
    rebases: ClassVar[bool] = True

    def apply(self, draft: Draft, context: CommitContext) -> Applied:
        """Append if there is such a dataset, else create it."""
        current = draft.manifest(self.name)
        if replay := _replay(draft, current, self.rows):
            return replay
        if current is None:
            return _create(draft, self, context)
        return _append(draft, current, self.target.fingerprint, self.rows, context)


@dataclass(frozen=True, slots=True)
class Create:
    """Make a new dataset, with or without rows."""

    name: DatasetName
    target: Target
    rows: Rows
    if_exists: IfExists = "fail"

    @property
    def rebases(self) -> bool:
        """Whether it does not matter what others did to the dataset."""
        return self.if_exists in ("ignore", "register")

    def apply(self, draft: Draft, context: CommitContext) -> Applied:
        """Create the dataset, or do what ``if_exists`` says. A replaced dataset gets a new id."""
        current = draft.manifest(self.name)
        if replay := _replay(draft, current, self.rows):
            return replay
        if current is None or self.if_exists == "replace":
            return _create(draft, self, context, replaced=current)
        if self.if_exists == "ignore":
            return Applied(draft)
        if self.if_exists == "register":
            _check_fingerprint(current, self.target.fingerprint)
            return Applied(draft)
        raise LakehouseError(ErrorKind.ALREADY_EXISTS, "dataset_already_exists", f"There is a dataset {self.name}.")


@dataclass(frozen=True, slots=True)
class Overwrite:
    """Replace the schema and all rows of a dataset, which keeps its id; create it if it is missing."""

    name: DatasetName
    target: Target
    rows: Rows
    rebases: ClassVar[bool] = False

    def apply(self, draft: Draft, context: CommitContext) -> Applied:
        """Replace schema and rows. Idempotency keys and producers stay known."""
        current = draft.manifest(self.name)
        if replay := _replay(draft, current, self.rows):
            return replay
        if current is None:
            return _create(draft, self, context)
        added = _fresh(draft, current, self.rows.objects)
        kept = self.rows.objects.filter(pc.is_in(self.rows.objects["key"], current.objects["key"]))
        successor = replace(
            current,
            schema=self.target.schema,
            schema_fingerprint=self.target.fingerprint,
            objects=pa.concat_tables([kept, _stamp(added, current.version + 1)]),
            row_count=self.rows.count,
            operation="overwrite",
        )
        manifest = _succeed(draft, successor, self.rows, context, removed=current.row_count)
        return Applied(draft.with_dataset(manifest), self.rows.count)


@dataclass(frozen=True, slots=True)
class Drop:
    """Remove a dataset. Snapshots before keep showing it."""

    name: DatasetName
    if_exists: bool = False
    rebases: ClassVar[bool] = False

    def apply(self, draft: Draft, context: CommitContext) -> Applied:  # noqa: ARG002 (one signature for all changes)
        """Remove the dataset. Its manifest is not read: a broken dataset can be dropped."""
        if draft.find(self.name) is None:
            if self.if_exists:
                return Applied(draft)
            raise dataset_not_found(self.name, draft.base.names())
        return Applied(draft.with_staged(self.name, None))


@dataclass(frozen=True, slots=True)
class CreateSchema:
    """Make a new, empty schema."""

    name: str
    if_not_exists: bool = False
    rebases: ClassVar[bool] = True

    def apply(self, draft: Draft, context: CommitContext) -> Applied:  # noqa: ARG002 (one signature for all changes)
        """Create the schema."""
        if self.name in draft.schemas and not self.if_not_exists:
            raise LakehouseError(ErrorKind.ALREADY_EXISTS, "schema_already_exists", f"There is a schema {self.name}.")
        return Applied(draft.with_schemas(draft.schemas | {self.name}))


@dataclass(frozen=True, slots=True)
class DropSchema:
    """Remove an empty schema."""

    name: str
    if_exists: bool = False
    rebases: ClassVar[bool] = True

    def apply(self, draft: Draft, context: CommitContext) -> Applied:  # noqa: ARG002 (one signature for all changes)
        """Remove the schema; CONFLICT if it holds a dataset."""
        if self.name not in draft.schemas:
            if self.if_exists:
                return Applied(draft)
            raise schema_not_found(self.name)
        if self.name == DEFAULT_SCHEMA:
            raise LakehouseError(
                ErrorKind.INVALID_ARGUMENT, "reserved_name", f"The schema {DEFAULT_SCHEMA} cannot be dropped."
            )
        if draft.has_datasets(self.name):
            raise LakehouseError(ErrorKind.CONFLICT, "schema_not_empty", f"The schema {self.name} holds datasets.")
        return Applied(draft.with_schemas(draft.schemas - {self.name}))


def _replay(draft: Draft, current: Manifest | None, rows: Rows) -> Applied | None:
    if current is None:
        return None
    first = find_replay(current, rows.idempotency, rows.producer)
    if isinstance(first, IngestKey):
        return Applied(draft, first.rows, replayed=True, first=first)
    return Applied(draft, rows.count, replayed=True) if first else None


def _create(
    draft: Draft, change: CreateOrAppend | Create | Overwrite, context: CommitContext, replaced: Manifest | None = None
) -> Applied:
    target, rows = change.target, change.rows
    manifest = Manifest(
        dataset_id=target.dataset_id,
        name=change.name,
        schema_fingerprint=target.fingerprint,
        schema=target.schema,
        objects=_stamp(_fresh(draft, None, rows.objects), 1),
        created_at=context.at,
        updated_at=context.at,
        row_count=rows.count,
        version=0,
        parent=None,
        commit_id=context.commit_id,
        operation="create",
        author=context.author,
        ingest_keys=replaced.ingest_keys if replaced else (),
        producers=replaced.producers if replaced else {},
    )
    return Applied(draft.with_dataset(_succeed(draft, manifest, rows, context)), rows.count)


def _append(draft: Draft, current: Manifest, fingerprint: str, rows: Rows, context: CommitContext) -> Applied:
    _check_fingerprint(current, fingerprint)
    added = _fresh(draft, current, rows.objects)
    if added.num_rows < rows.objects.num_rows:
        # Object keys are unique, so these very rows are in already: the caller repeats a commit that had landed.
        return Applied(draft, rows.count, replayed=True)
    successor = replace(
        current,
        objects=pa.concat_tables([current.objects, _stamp(added, current.version + 1)]),
        row_count=current.row_count + rows.count,
        operation="append",
    )
    return Applied(draft.with_dataset(_succeed(draft, successor, rows, context)), rows.count)


def _succeed(draft: Draft, successor: Manifest, rows: Rows, context: CommitContext, *, removed: int = 0) -> Manifest:
    """Give a manifest the next version, and remember in it what was done.

    ``parent`` is the manifest before *on the store*: all versions of one group commit share one manifest.
    """
    check_writable(successor)
    version = successor.version + 1
    at = context.at if version == 1 else max(context.at, successor.updated_at + timedelta(microseconds=1))
    record = CommitRecord(version, context.commit_id, at, successor.operation, rows.count, removed)
    stored = draft.base.find(successor.name)
    return replace(
        successor,
        updated_at=at,
        version=version,
        parent=stored.manifest if stored is not None and stored.dataset_id == successor.dataset_id else None,
        commit_id=context.commit_id,
        author=context.author,
        log=(*successor.log, record)[-context.settings.log_entries :],
        ingest_keys=remember_key(successor, rows, version, at, context),
        producers=remember_producer(successor, rows, context),
    )


def _fresh(draft: Draft, current: Manifest | None, objects: pa.Table) -> pa.Table:
    """Return the objects that are new to the dataset; CONFLICT if garbage collection may have taken one of them."""
    if current is not None:
        objects = objects.filter(pc.invert(pc.is_in(objects["key"], current.objects["key"])))
    if pc.any(pc.less(objects["epoch"], draft.base.root.gc_floor)).as_py():
        raise LakehouseError(
            ErrorKind.CONFLICT, "epoch_expired", "The upload took too long, its objects were collected: repeat it."
        )
    return objects


def _stamp(objects: pa.Table, version: int) -> pa.Table:
    index = OBJECTS.get_field_index("added_version")
    return objects.set_column(index, OBJECTS.field(index), pa.array([version] * len(objects), pa.int64()))


def _check_fingerprint(current: Manifest, fingerprint: str) -> None:
    if current.schema_fingerprint != fingerprint:
        raise LakehouseError(ErrorKind.CONFLICT, "schema_conflict", f"The dataset {current.name} has another schema.")
