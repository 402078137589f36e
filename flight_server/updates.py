"""Statements that change data: each becomes one commit of the lake, or a staged change of the open transaction."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from catalog import OBJECTS, ErrorKind, LakehouseError, Snapshot, check_schema_name
from catalog import Transaction as LakeTransaction

from .engine import Engine, Statement, StatementKind
from .ingest import Destination, IngestMode, Ingestor, IngestRequest, StoredRows, plan_destination, stage_rows
from .queries import Queries
from .targets import Defaults, LakeSnapshots, MountedLake, Target, require_lake, resolve_target
from .transactions import ClientTransaction

_ATTEMPTS = 5
"""How often a statement outside a transaction is run again after somebody else changed what it read."""


_REPEATABLE = frozenset({"commit_conflict", "schema_conflict", "epoch_expired"})
"""What another run on the newest snapshot may get past."""


@dataclass(frozen=True, slots=True)
class UpdateContext:
    """The setting of one statement that changes data."""

    statement: Statement
    parameters: pa.RecordBatch | None
    defaults: Defaults
    transaction: ClientTransaction | None
    on_running: Callable[[Callable[[], None]], None]


class Updates:
    """Runs INSERT, CREATE, DROP, DELETE and TRUNCATE as catalog commits.

    Args:
        lakes: the mounted lakes.
        engine: runs the queries inside the statements.
        queries: scopes for them.
        ingestor: stores their rows.
    """

    def __init__(self, lakes: Mapping[str, MountedLake], engine: Engine, queries: Queries, ingestor: Ingestor) -> None:
        self._lakes = lakes
        self._engine = engine
        self._queries = queries
        self._ingestor = ingestor

    def run(self, context: UpdateContext) -> int:
        """Run one statement and return the number of rows that it changed (0 for DDL)."""
        if context.transaction is not None:
            return self._once(context)
        for attempt in range(_ATTEMPTS):
            try:
                return self._once(context)
            except LakehouseError as error:
                if error.code not in _REPEATABLE or attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def parameter_schema(self, context: UpdateContext) -> pa.Schema:
        """Return the schema of a statement's parameters; fields of type null where it cannot be told."""
        statement, snapshots = context.statement, self._snapshots(context)
        sql, scope = statement.source_sql, self._queries.scope(snapshots, context.defaults)
        if statement.kind is StatementKind.INSERT:
            target = self._target(context)
            snapshot = snapshots[target.lake]
            schema = snapshot.manifest(snapshot.entry(target.name)).schema
            sql = self._engine.insert_source(statement, schema, None, scope)
        return self._engine.plan(sql, None, scope).parameter_schema if sql else pa.schema([])

    def _once(self, context: UpdateContext) -> int:
        match context.statement.kind:
            case StatementKind.CREATE_SCHEMA | StatementKind.DROP_SCHEMA:
                return self._change_schema(context)
            case StatementKind.DROP_TABLE:
                return self._drop(context)
            case StatementKind.DELETE | StatementKind.TRUNCATE:
                return self._empty(context)
            case StatementKind.INSERT:
                return self._insert(context)
            case StatementKind.CREATE_TABLE | StatementKind.CREATE_TABLE_AS:
                return self._create(context)
        raise LakehouseError(ErrorKind.UNIMPLEMENTED, "statement_not_allowed", "This statement does not change data.")

    def _target(self, context: UpdateContext) -> Target:
        target = resolve_target(context.statement.target, context.defaults, self._lakes)
        require_lake(self._lakes, target.lake)
        return target

    def _snapshots(self, context: UpdateContext) -> LakeSnapshots:
        return context.transaction.snapshots() if context.transaction else LakeSnapshots(self._lakes)

    def _stage(
        self, context: UpdateContext, lake: str, pinned: Snapshot | None, stage: Callable[[LakeTransaction], None]
    ) -> None:
        """Stage a change on the open transaction, or commit it at once: against ``pinned``, or the newest root."""
        if context.transaction is not None:
            with context.transaction.writing(lake) as transaction:
                stage(transaction)
            return
        transaction = self._lakes[lake].lake.begin(pinned)
        stage(transaction)
        transaction.commit()

    def _change_schema(self, context: UpdateContext) -> int:
        statement = context.statement
        lake, name = self._schema_target(context)
        if statement.kind is StatementKind.CREATE_SCHEMA:
            self._stage(context, lake, None, lambda t: t.create_schema(name, if_not_exists=statement.if_not_exists))
        else:
            self._stage(context, lake, None, lambda t: t.drop_schema(name, if_exists=statement.if_exists))
        return 0

    def _schema_target(self, context: UpdateContext) -> tuple[str, str]:
        parts = context.statement.target
        lake = parts[0].lower() if len(parts) > 1 else context.defaults.catalog
        require_lake(self._lakes, lake)
        return lake, check_schema_name(parts[-1])

    def _drop(self, context: UpdateContext) -> int:
        target = self._target(context)
        if_exists = context.statement.if_exists
        self._stage(context, target.lake, None, lambda t: t.drop(target.name, if_exists=if_exists))
        return 0

    def _empty(self, context: UpdateContext) -> int:
        target = self._target(context)
        snapshot = self._snapshots(context)[target.lake]
        entry = snapshot.entry(target.name)
        schema = snapshot.manifest(entry).schema
        self._stage(
            context,
            target.lake,
            snapshot,
            lambda t: t.overwrite(target.name, schema, OBJECTS.empty_table(), dataset_id=entry.dataset_id),
        )
        return entry.row_count

    def _insert(self, context: UpdateContext) -> int:
        target, snapshots = self._target(context), self._snapshots(context)
        snapshot = snapshots[target.lake]
        entry = snapshot.entry(target.name)
        destination = Destination(entry.dataset_id, snapshot.manifest(entry).schema, entry)
        scope = self._queries.scope(snapshots, context.defaults)
        sql = self._engine.insert_source(context.statement, destination.schema, context.parameters, scope)
        stored = self._store_query(context, sql, target, snapshots, destination)
        request = IngestRequest(target, IngestMode.APPEND)
        self._stage(context, target.lake, None, lambda t: stage_rows(t, request, destination, stored, None))
        return stored.rows

    def _create(self, context: UpdateContext) -> int:
        statement, target, snapshots = context.statement, self._target(context), self._snapshots(context)
        snapshot = snapshots[target.lake]
        entry = snapshot.find(target.name)
        if entry is not None and statement.if_not_exists:
            return 0
        mode = IngestMode.OVERWRITE if statement.or_replace else IngestMode.CREATE
        request = IngestRequest(target, mode)
        scope = self._queries.scope(snapshots, context.defaults)
        schema = self._engine.table_schema(statement, context.parameters, scope)
        destination = plan_destination(snapshot, request, schema, self._ingestor.settings)
        if statement.source_sql is None:
            stored = StoredRows(OBJECTS.empty_table(), 0, 0)
        else:
            stored = self._store_query(context, statement.source_sql, target, snapshots, destination)
        # What replaces a dataset may have read it: rows that were added meanwhile must not be lost.
        pinned = snapshot if statement.or_replace else None
        self._stage(context, target.lake, pinned, lambda t: stage_rows(t, request, destination, stored, None))
        return stored.rows

    def _store_query(
        self, context: UpdateContext, sql: str, target: Target, snapshots: LakeSnapshots, destination: Destination
    ) -> StoredRows:
        scope = self._queries.scope(snapshots, context.defaults)
        epoch = snapshots[target.lake].epoch
        with self._engine.execute(sql, context.parameters, scope) as stream:
            context.on_running(stream.cancel)
            return self._ingestor.store(target.lake, epoch, destination, stream)
