"""Rows in: from a stream of record batches to one commit."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypedDict

import pyarrow as pa

from catalog import (
    DatasetEntry,
    DatasetWriter,
    ErrorKind,
    IdempotencyKey,
    LakehouseError,
    ProducerSequence,
    Snapshot,
    WriterSettings,
    cast_batch,
    check_castable,
    dataset_not_found,
    fingerprint,
    new_dataset_id,
    storable_schema,
)
from catalog import Transaction as LakeTransaction

from .targets import MountedLake, Target
from .transactions import ClientTransaction


class IngestMode(Enum):
    """What an ingest does with a dataset that exists, or does not."""

    CREATE = "create"
    APPEND = "append"
    OVERWRITE = "overwrite"
    CREATE_APPEND = "create_append"


class ExactlyOnce(TypedDict):
    """What makes a change happen once: a key or a sequence number, or neither."""

    idempotency: IdempotencyKey | None
    producer: ProducerSequence | None


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """Where rows go, and how.

    Attributes:
        idempotency_key: the client's key, under which the rows are added at most once; the body's hash is taken here.
        producer: the client's id and sequence number, for streaming producers.
        explicit_commit: nothing is committed unless the stream ends with the client's word that it is complete.
    """

    target: Target
    mode: IngestMode = IngestMode.CREATE_APPEND
    idempotency_key: str | None = None
    producer: ProducerSequence | None = None
    explicit_commit: bool = False


@dataclass(frozen=True, slots=True)
class IngestResult:
    """The answer to an ingest. ``snapshot`` is None while the transaction that it belongs to is open."""

    target: Target
    dataset_id: str
    rows: int
    bytes: int
    objects: int
    snapshot: int | None
    version: int | None
    replayed: bool


Chunk = tuple[pa.RecordBatch | None, bytes | None]
"""A record batch, a message of the client, or both."""


@dataclass(frozen=True, slots=True)
class Destination:
    """The dataset that an ingest writes: as it is, or as it will be made."""

    dataset_id: str
    schema: pa.Schema
    entry: DatasetEntry | None


@dataclass(frozen=True, slots=True)
class StoredRows:
    """Rows that are on the store but in no snapshot yet: a table of OBJECTS and its sums."""

    objects: pa.Table
    rows: int
    bytes: int


class Ingestor:
    """Takes streams of record batches and commits each at once.

    Args:
        lakes: the mounted lakes.
        settings: limits of the writer.
    """

    def __init__(self, lakes: Mapping[str, MountedLake], settings: WriterSettings) -> None:
        self._lakes = lakes
        self.settings = settings

    def ingest(
        self,
        request: IngestRequest,
        schema: pa.Schema,
        chunks: Iterable[Chunk],
        *,
        transaction: ClientTransaction | None,
        is_cancelled: Callable[[], bool],
    ) -> IngestResult:
        """Store the rows, then commit them, or stage them in the transaction.

        Args:
            request: where the rows go, and how.
            schema: the stream's schema.
            chunks: the stream, read exactly once and to its end.
            transaction: the open transaction that the ingest belongs to, if any.
            is_cancelled: asked after the last batch; a client that died looks like one that finished.

        Raises:
            LakehouseError: the rows do not fit, the mode forbids it, the client gave up, or the commit failed.
        """
        lake = self._lakes[request.target.lake]
        snapshot = (transaction.snapshots() if transaction else {request.target.lake: lake.lake.snapshot()})[
            request.target.lake
        ]
        destination = plan_destination(snapshot, request, schema, self.settings)
        body = _BodyHash(destination.schema) if request.idempotency_key else None
        stream = _checked(chunks, explicit_commit=request.explicit_commit)
        stored = self.store(request.target.lake, snapshot.epoch, destination, stream, body)
        if is_cancelled():
            raise LakehouseError(ErrorKind.CANCELLED, "cancelled", "The client gave up; nothing was committed.")
        key = IdempotencyKey(request.idempotency_key, body.hexdigest()) if request.idempotency_key and body else None
        return self._publish(request, destination, stored, key, transaction)

    def store(
        self,
        lake: str,
        epoch: int,
        destination: Destination,
        batches: Iterable[pa.RecordBatch],
        body: "_BodyHash | None" = None,
    ) -> StoredRows:
        """Write batches, cast to the destination's schema, as data objects that no snapshot refers to yet."""
        with DatasetWriter(
            self._lakes[lake].lake.store, destination.dataset_id, epoch, destination.schema, self.settings
        ) as writer:
            for batch in batches:
                rows = cast_batch(batch, destination.schema, self.settings)
                if body is not None:
                    body.update(rows)
                writer.write(rows)
            objects = writer.close()
        return StoredRows(objects, writer.rows, writer.bytes)

    def _publish(
        self,
        request: IngestRequest,
        destination: Destination,
        stored: StoredRows,
        key: IdempotencyKey | None,
        transaction: ClientTransaction | None,
    ) -> IngestResult:
        if transaction is not None:
            with transaction.writing(request.target.lake) as staged:
                stage_rows(staged, request, destination, stored, key)
            return IngestResult(
                request.target, destination.dataset_id, stored.rows, stored.bytes, stored.objects.num_rows,
                snapshot=None, version=None, replayed=False,
            )  # fmt: skip
        autocommit = self._lakes[request.target.lake].lake.begin()
        stage_rows(autocommit, request, destination, stored, key)
        result = autocommit.commit()
        entry = result.datasets[0] if result.datasets else None
        current = entry.version if entry else None
        return IngestResult(
            request.target,
            entry.dataset_id if entry else destination.dataset_id,
            result.rows,
            stored.bytes,
            stored.objects.num_rows,
            snapshot=result.version,
            version=result.first.version if result.first else current,
            replayed=result.replayed,
        )


def plan_destination(
    snapshot: Snapshot, request: IngestRequest, schema: pa.Schema, settings: WriterSettings
) -> Destination:
    """Decide, before a row is read, which dataset and schema the rows get.

    Raises:
        LakehouseError: ``dataset_already_exists``, ``dataset_not_found``, or a schema that does not fit.
    """
    entry = snapshot.find(request.target.name)
    replayable = request.idempotency_key or request.producer
    if request.mode is IngestMode.CREATE and entry is not None and not replayable:
        raise LakehouseError(
            ErrorKind.ALREADY_EXISTS, "dataset_already_exists", f'There is a dataset "{request.target.name}" already.'
        )
    if request.mode is IngestMode.APPEND and entry is None:
        raise dataset_not_found(request.target.name, snapshot.names())
    if entry is not None and request.mode in {IngestMode.APPEND, IngestMode.CREATE_APPEND}:
        target = snapshot.manifest(entry).schema
        check_castable(schema, target)
        return Destination(entry.dataset_id, target, entry)
    fresh = storable_schema(schema, settings)
    if entry is not None and request.mode is IngestMode.OVERWRITE:
        return Destination(entry.dataset_id, fresh, entry)
    return Destination(new_dataset_id(), fresh, None)


def stage_rows(
    transaction: LakeTransaction,
    request: IngestRequest,
    destination: Destination,
    stored: StoredRows,
    key: IdempotencyKey | None,
) -> None:
    """Stage stored rows on a transaction of the lake, as the request's mode says."""
    name, exactly_once = request.target.name, ExactlyOnce(idempotency=key, producer=request.producer)
    dataset_id, schema, objects = destination.dataset_id, destination.schema, stored.objects
    match request.mode:
        case IngestMode.CREATE:
            transaction.create(name, schema, objects=objects, dataset_id=dataset_id, **exactly_once)
        case IngestMode.OVERWRITE:
            transaction.overwrite(name, schema, objects, dataset_id=dataset_id, **exactly_once)
        case IngestMode.APPEND:
            transaction.append(name, dataset_id, fingerprint(schema), objects, **exactly_once)
        case IngestMode.CREATE_APPEND:
            transaction.create_or_append(name, schema, objects, dataset_id=dataset_id, **exactly_once)


def _checked(chunks: Iterable[Chunk], *, explicit_commit: bool) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a stream and make sure that the client said it is complete, if it promised to."""
    rows, promised = 0, None
    for batch, message in chunks:
        if promised is not None:
            raise LakehouseError(
                ErrorKind.INVALID_ARGUMENT, "malformed_upload", "Nothing may follow the commit message of an upload."
            )
        if batch is not None and batch.num_columns:
            rows += batch.num_rows
            yield batch
        if message is not None and explicit_commit:
            promised = _promised_rows(message)
    if explicit_commit and promised is None:
        raise LakehouseError(
            ErrorKind.CANCELLED, "upload_abandoned", "The upload ended without a commit message; nothing was committed."
        )
    if promised is not None and promised != rows:
        raise LakehouseError(
            ErrorKind.INVALID_ARGUMENT, "malformed_upload", f"The client sent {promised} rows, but {rows} arrived."
        )


def _promised_rows(message: bytes) -> int:
    try:
        body = json.loads(message)
        if body["commit"] is True and isinstance(body["rows"], int):
            return int(body["rows"])
    except (ValueError, KeyError, TypeError):
        pass
    raise LakehouseError(ErrorKind.INVALID_ARGUMENT, "malformed_upload", "The upload's commit message is malformed.")


class _BodyHash:
    """SHA-256 over rows as they are stored, in IPC form: equal for the same batches in the same order.

    Rows are hashed after they were cast to the dataset's schema: the IPC form of a batch leaves its dictionaries out.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._hash = hashlib.sha256(schema.remove_metadata().serialize())

    def update(self, batch: pa.RecordBatch) -> None:
        self._hash.update(batch.serialize())

    def hexdigest(self) -> str:
        return self._hash.hexdigest()
