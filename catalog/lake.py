"""A lake: one object store with one catalog in it. The way in for everybody who reads or writes datasets.

lake = Lake.open("lake", store, commit=CommitSettings())
snapshot = lake.snapshot()                       # the newest version, one conditional GET
transaction = lake.begin()
transaction.create(DatasetName("main", "trips"), schema)
transaction.commit()
"""

from datetime import UTC, datetime
from types import TracebackType
from typing import NamedTuple, Self

from uuid6 import uuid7

from .codec import encode_root
from .commit import Committer
from .errors import ErrorKind, LakehouseError
from .head import CatalogReader, store_unavailable
from .model import DATASETS, CommitRecord, DatasetName, Root
from .names import check_lake_name
from .paths import archived_roots_prefix, root_key
from .probe import probe_conditional_writes
from .settings import CommitSettings
from .snapshot import Snapshot
from .store import IfAbsent, ObjectNotFoundError, ObjectStore, PreconditionFailedError, StoreError
from .transaction import Transaction


class SnapshotRecord(NamedTuple):
    """One line of a lake's history."""

    version: int
    commit_id: str
    committed_at: datetime


class Lake:
    """One lake. Safe for use from several threads; use :meth:`open`."""

    def __init__(self, name: str, store: ObjectStore, reader: CatalogReader, settings: CommitSettings) -> None:
        self.name = name
        self.store = store
        self._reader = reader
        self._settings = settings
        self._committer = Committer(store, reader, settings)

    @classmethod
    def open(cls, name: str, store: ObjectStore, *, commit: CommitSettings, single_writer: bool = False) -> Self:
        """Open a lake, creating it if the store is empty.

        Args:
            name: what it is called in SQL.
            store: where it lives.
            commit: limits of commits.
            single_writer: trust that nobody else writes, and do not ask whether the store keeps conditions.
        """
        name = check_lake_name(name)
        if not single_writer:
            probe_conditional_writes(store)
        _create_if_absent(store)
        reader = CatalogReader(name, store)
        reader.head()
        return cls(name, store, reader, commit)

    def snapshot(self, *, version: int | None = None, at: datetime | None = None) -> Snapshot:
        """Read the newest version, or a former one.

        Args:
            version: a version of the lake.
            at: a time with a zone: what was newest then.

        Raises:
            LakehouseError: NOT_FOUND ``snapshot_not_found`` or ``snapshot_expired``.
        """
        newest = self._reader.head().snapshot
        if version is not None:
            return self._version(version, newest)
        if at is not None:
            return self._at(at, newest)
        return newest

    def begin(self, snapshot: Snapshot | None = None, *, author: str = "") -> Transaction:
        """Begin a transaction: pinned to a snapshot, or applied on whatever is newest when it commits."""
        pinned = snapshot is not None
        base = self.snapshot() if snapshot is None else snapshot
        return Transaction(self._committer, base, self._settings, pinned=pinned, author=author)

    def history(self, name: DatasetName) -> list[CommitRecord]:
        """List the newest commits to a dataset, the newest first; NOT_FOUND if there is no such dataset."""
        snapshot = self.snapshot()
        return list(reversed(snapshot.manifest(snapshot.entry(name)).log))

    def snapshots(self, limit: int = 100) -> list[SnapshotRecord]:
        """List the newest versions that are still there, the newest first."""
        snapshot: Snapshot | None = self.snapshot()
        records: list[SnapshotRecord] = []
        while snapshot is not None and len(records) < limit:
            records.append(SnapshotRecord(snapshot.version, snapshot.commit_id, snapshot.committed_at))
            snapshot = self._reader.archived(snapshot.version - 1) if snapshot.version > 0 else None
        return records

    def ping(self) -> None:
        """Raise UNAVAILABLE if the store cannot be reached."""
        self._reader.head()

    def close(self) -> None:
        """Finish the commits that are under way. Snapshots stay readable."""
        self._committer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _version(self, version: int, newest: Snapshot) -> Snapshot:
        if version == newest.version:
            return newest
        if not 0 <= version < newest.version:
            raise LakehouseError(ErrorKind.NOT_FOUND, "snapshot_not_found", f"There is no snapshot {version}.")
        snapshot = self._reader.archived(version) if version >= newest.root.history_floor else None
        if snapshot is None:
            raise LakehouseError(
                ErrorKind.NOT_FOUND, "snapshot_expired", f"The snapshot {version} is not kept any more."
            )
        return snapshot

    def _at(self, at: datetime, newest: Snapshot) -> Snapshot:
        """Search the version that was newest at a time; commit times rise with versions, whatever the clocks did."""
        if at.tzinfo is None:
            raise LakehouseError(ErrorKind.INVALID_ARGUMENT, "invalid_time", "A time needs a time zone.")
        if at >= newest.committed_at:
            return newest
        low, high = newest.root.history_floor, newest.version
        if low == high or at < self._version(low, newest).committed_at:
            code = "snapshot_expired" if low > 0 else "snapshot_not_found"
            raise LakehouseError(ErrorKind.NOT_FOUND, code, f"There is no snapshot as old as {at.isoformat()}.")
        while high - low > 1:
            middle = (low + high) // 2
            if self._version(middle, newest).committed_at <= at:
                low = middle
            else:
                high = middle
        return self._version(low, newest)


def _create_if_absent(store: ObjectStore) -> None:
    try:
        store.head(root_key())
    except ObjectNotFoundError:
        _create(store)
    except StoreError as error:
        raise store_unavailable() from error


def _create(store: ObjectStore) -> None:
    """Write the first root. Where there is history, a missing root is a loss, and beginning again would hide it."""
    root = Root(
        version=0,
        commit_id=str(uuid7()),
        parent_commit_id=None,
        committed_at=datetime.now(UTC),
        epoch=1,
        gc_floor=0,
        history_floor=0,
        datasets=DATASETS.empty_table(),
    )
    try:
        if next(iter(store.list(archived_roots_prefix())), None) is not None:
            raise LakehouseError(ErrorKind.INTERNAL, "catalog_corrupt", f"The catalog object {root_key()} is gone.")
        store.put(root_key(), encode_root(root), IfAbsent())
    except PreconditionFailedError:
        return  # another server was faster
    except StoreError as error:
        raise store_unavailable() from error
