"""Transactions that a client opened: they pin their snapshots and publish everything in one commit."""

import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from catalog import CommitResult, ErrorKind, LakehouseError
from catalog import Transaction as LakeTransaction

from .targets import LakeSnapshots, MountedLake, require_lake


class ClientTransaction:
    """One open transaction of one session. Safe for use from several threads.

    A lake's snapshot is pinned when a statement first touches the lake, not when the transaction begins: clients open
    transactions when they connect, and would read stale data. Only one lake can be written, because a commit is atomic
    within one lake.
    """

    def __init__(self, lakes: Mapping[str, MountedLake]) -> None:
        self.id = uuid.uuid4().bytes
        self._lakes = lakes
        self._lock = threading.RLock()
        self._snapshots = LakeSnapshots(lakes)
        self._written: tuple[str, LakeTransaction] | None = None
        self._ended = False

    def snapshots(self) -> LakeSnapshots:
        """Return what a statement of this transaction reads: the pinned snapshots with its own writes."""
        with self._lock:
            self._check_open()
            if self._written is None:
                return self._snapshots
            lake, transaction = self._written
            return self._snapshots.with_writes(lake, transaction.snapshot())

    def has_written(self) -> bool:
        """Whether statements see writes that no snapshot of the lake holds."""
        with self._lock:
            return self._written is not None

    @contextmanager
    def writing(self, lake: str) -> Iterator[LakeTransaction]:
        """Give the lake's transaction to stage changes on.

        Raises:
            LakehouseError: UNIMPLEMENTED ``transaction_spans_lakes`` when another lake was written before.
        """
        require_lake(self._lakes, lake)
        with self._lock:
            self._check_open()
            if self._written is None:
                self._written = (lake, self._lakes[lake].lake.begin(self._snapshots[lake]))
            name, transaction = self._written
            if name != lake:
                raise LakehouseError(
                    ErrorKind.UNIMPLEMENTED,
                    "transaction_spans_lakes",
                    f'This transaction writes lake "{name}"; one transaction cannot write two lakes.',
                )
            yield transaction

    def commit(self) -> CommitResult | None:
        """Publish all changes at once; None when there are none. The transaction ends, whatever the outcome."""
        with self._lock:
            self._check_open()
            self._ended = True
            return self._written[1].commit() if self._written else None

    def rollback(self) -> None:
        """Forget all changes. Idempotent."""
        with self._lock:
            if not self._ended and self._written:
                self._written[1].rollback()
            self._ended = True

    def _check_open(self) -> None:
        if self._ended:
            raise LakehouseError(ErrorKind.NOT_FOUND, "transaction_not_found", "The transaction has ended.")
