"""Exactly once: how a dataset remembers which rows it has taken already.

Keys and sequence numbers live in the dataset's manifest, so they are as durable and as atomic as the rows that came
with them. Their number and age are bounded by ``[commit]``.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from .errors import ErrorKind, LakehouseError
from .model import IdempotencyKey, IngestKey, Manifest, ProducerSequence
from .settings import CommitSettings


@dataclass(frozen=True, slots=True)
class CommitContext:
    """What a change may know of the commit that it is about to be part of.

    Attributes:
        snapshot: version of the root that will hold it.
        at: its time, later than that of the root before.
    """

    commit_id: str
    snapshot: int
    at: datetime
    author: str
    settings: CommitSettings


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that are on the store already, as data objects (a table of OBJECTS), and what makes them exactly-once."""

    objects: pa.Table
    idempotency: IdempotencyKey | None = None
    producer: ProducerSequence | None = None

    @property
    def count(self) -> int:
        """Number of rows."""
        return pc.sum(self.objects["rows"]).as_py() or 0


def find_replay(
    manifest: Manifest, idempotency: IdempotencyKey | None, producer: ProducerSequence | None = None
) -> IngestKey | bool:
    """Tell whether rows with this key or sequence number are in a dataset already.

    Returns:
        The first answer if it is remembered, True if it is not (sequence numbers), False if the rows are new.

    Raises:
        LakehouseError: INVALID_ARGUMENT ``idempotency_key_reused``, the key came with other rows before.
    """
    if idempotency is not None:
        key_hash = _hash(idempotency.key)
        for known in manifest.ingest_keys:
            if known.key_hash == key_hash:
                if known.body_hash != idempotency.body_hash:
                    raise LakehouseError(
                        ErrorKind.INVALID_ARGUMENT,
                        "idempotency_key_reused",
                        "The idempotency key was used before, with another body.",
                    )
                return known
    return producer is not None and producer.sequence <= manifest.producers.get(producer.producer_id, -1)


def remember_key(
    manifest: Manifest, rows: Rows, version: int, at: datetime, context: CommitContext
) -> tuple[IngestKey, ...]:
    """Return the keys that the manifest of ``version`` remembers: the newest ones, none of them too old."""
    oldest = at - timedelta(seconds=context.settings.ingest_key_seconds)
    keys = [key for key in manifest.ingest_keys if key.committed_at >= oldest]
    if rows.idempotency is not None:
        key_hash, body_hash = _hash(rows.idempotency.key), rows.idempotency.body_hash
        keys.append(IngestKey(key_hash, body_hash, context.commit_id, version, context.snapshot, rows.count, at))
    return tuple(keys[-context.settings.ingest_keys :])


def remember_producer(manifest: Manifest, rows: Rows, context: CommitContext) -> dict[str, int]:
    """Return the producers' high-water marks, after these rows; the least recently used are forgotten."""
    if rows.producer is None:
        return manifest.producers
    producers = {name: mark for name, mark in manifest.producers.items() if name != rows.producer.producer_id}
    producers[rows.producer.producer_id] = rows.producer.sequence
    return dict(list(producers.items())[-context.settings.producers :])


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
