"""Rows out: from SQL to a signed ticket, and from a ticket to a stream of record batches."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from catalog import ErrorKind, LakehouseError

from .engine import Engine, Plan, ResultStream, Scope
from .targets import Defaults, LakeSnapshots, MountedLake
from .tickets import StatementTicket
from .transactions import ClientTransaction


@dataclass(frozen=True, slots=True)
class Query:
    """A statement that reads, and the setting in which its names and parameters mean something.

    Attributes:
        parameters: a batch with one column per parameter and one row per execution, or None.
        text: None for Arrow, or the name of a text format of the engine.
        versions: versions of lakes to read instead of the newest.
    """

    sql: str
    defaults: Defaults
    parameters: pa.RecordBatch | None = None
    text: str | None = None
    versions: Mapping[str, int] | None = None
    transaction: ClientTransaction | None = None


@dataclass(frozen=True, slots=True)
class PlannedQuery:
    """A query whose schema is known, and the ticket that reads its rows, any number of times.

    Attributes:
        changed_rows: for the answer to a statement with an effect: how many rows it changed.
    """

    plan: Plan
    ticket: StatementTicket
    changed_rows: int | None = None


class Queries:
    """Plans and runs queries over pinned snapshots.

    Args:
        lakes: the mounted lakes.
        engine: what runs the SQL.
        ticket_seconds: how long a ticket can be read.
    """

    def __init__(self, lakes: Mapping[str, MountedLake], engine: Engine, ticket_seconds: float) -> None:
        self._lakes = lakes
        self._engine = engine
        self._ticket_seconds = ticket_seconds
        self._readers = {name: mounted.reader for name, mounted in lakes.items()}

    def scope(self, snapshots: Mapping[str, object], defaults: Defaults) -> Scope:
        """Return what a statement may see: all mounted lakes at the given snapshots."""
        return Scope(snapshots, self._readers, defaults.catalog, defaults.schema)  # type: ignore[arg-type]

    def plan(self, query: Query) -> PlannedQuery:
        """Describe a query and pin the snapshots that it reads, without running it."""
        snapshots = self._snapshots(query)
        plan = self._engine.plan(query.sql, query.parameters, self.scope(snapshots, query.defaults), text=query.text)
        ticket = StatementTicket(
            sql=query.sql,
            parameters=batch_to_ipc(query.parameters),
            snapshots=snapshots.versions(),
            catalog=query.defaults.catalog,
            schema=query.defaults.schema,
            text=query.text,
            transaction_id=query.transaction.id if query.transaction and query.transaction.has_written() else None,
            expires_at=time.time() + self._ticket_seconds,
        )
        return PlannedQuery(plan, ticket)

    def schema(self, ticket: StatementTicket, transaction: ClientTransaction | None) -> pa.Schema:
        """Return the schema of the stream that :meth:`execute` gives for a ticket."""
        query, snapshots = self._reopen(ticket, transaction)
        scope = self.scope(snapshots, query.defaults)
        return self._engine.plan(query.sql, query.parameters, scope, text=query.text).schema

    def execute(
        self, ticket: StatementTicket, transaction: ClientTransaction | None, timeout_seconds: float | None = None
    ) -> ResultStream:
        """Run the query of a ticket over the snapshots that it pinned.

        Raises:
            LakehouseError: NOT_FOUND ``snapshot_expired`` when a snapshot was collected since.
        """
        query, snapshots = self._reopen(ticket, transaction)
        scope = self.scope(snapshots, query.defaults)
        return self._engine.execute(
            query.sql, query.parameters, scope, text=query.text, timeout_seconds=timeout_seconds
        )

    def _snapshots(self, query: Query) -> LakeSnapshots:
        if query.transaction is not None and not query.versions:
            return query.transaction.snapshots()
        return LakeSnapshots(self._lakes, query.versions)

    def _reopen(self, ticket: StatementTicket, transaction: ClientTransaction | None) -> tuple[Query, LakeSnapshots]:
        query = Query(
            ticket.sql, Defaults(ticket.catalog, ticket.schema), batch_from_ipc(ticket.parameters), ticket.text,
            ticket.snapshots,
        )  # fmt: skip
        if ticket.transaction_id is None:
            return query, self._snapshots(query)
        assert transaction is not None, "the ticket's transaction is the caller's to look up"
        return replace(query, versions=None), transaction.snapshots()


def single_batch(batches: Sequence[pa.RecordBatch], max_bytes: int) -> pa.RecordBatch | None:
    """Join the batches of parameters that a client bound; None when they have no columns.

    Raises:
        LakehouseError: TOO_LARGE ``parameters_too_large``, INVALID_ARGUMENT ``invalid_batch``.
    """
    with_columns = [batch for batch in batches if batch.num_columns]
    if not with_columns:
        return None
    if sum(batch.nbytes for batch in with_columns) > max_bytes:
        raise LakehouseError(
            ErrorKind.TOO_LARGE, "parameters_too_large", f"The parameters take more than {max_bytes} bytes."
        )
    try:
        for batch in with_columns:
            batch.validate(full=True)
    except pa.ArrowInvalid:
        raise LakehouseError(
            ErrorKind.INVALID_ARGUMENT, "invalid_batch", "The parameters are no valid record batch."
        ) from None
    return pa.concat_batches(with_columns) if len(with_columns) > 1 else with_columns[0]


def batch_to_ipc(batch: pa.RecordBatch | None) -> bytes | None:
    """Return a batch as an IPC stream; None for None."""
    if batch is None:
        return None
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def batch_from_ipc(data: bytes | None) -> pa.RecordBatch | None:
    """Return the batch of :func:`batch_to_ipc`."""
    if data is None:
        return None
    with pa.ipc.open_stream(data) as reader:
        return reader.read_next_batch()
