"""What a SQL text does in a session: answer with rows, change data, or change the session itself."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from catalog import ErrorKind, LakehouseError

from .actions import PreparedStatement
from .engine import Engine, Statement, StatementKind
from .queries import PlannedQuery, Queries, Query, batch_from_ipc, batch_to_ipc
from .sessions import Session
from .targets import Defaults, MountedLake, require_lake
from .tickets import PreparedHandle, Signer
from .transactions import ClientTransaction
from .updates import UpdateContext, Updates

_SESSION_KINDS = frozenset(
    {StatementKind.BEGIN, StatementKind.COMMIT, StatementKind.ROLLBACK, StatementKind.USE, StatementKind.SET}
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who runs a statement, and in which setting.

    Attributes:
        session: the caller's session, or None for plain commands, which have none.
        defaults: the lake and the schema of names without them.
        transaction: the open transaction that the statement belongs to, or None.
        on_running: takes what cancels the statement, once it runs.
    """

    session: Session | None
    defaults: Defaults
    transaction: ClientTransaction | None
    on_running: Callable[[Callable[[], None]], None]


class Statements:
    """Runs and prepares statements.

    Args:
        lakes: the mounted lakes.
        engine: takes statements apart, and runs queries.
        queries: plans queries.
        updates: runs statements that change data.
        signer: seals the handles of prepared statements.
        handle_seconds: how long a prepared statement can be used.
    """

    def __init__(
        self,
        lakes: Mapping[str, MountedLake],
        engine: Engine,
        queries: Queries,
        updates: Updates,
        signer: Signer,
        handle_seconds: float,
    ) -> None:
        self._lakes = lakes
        self._engine = engine
        self._queries = queries
        self._updates = updates
        self._signer = signer
        self._handle_seconds = handle_seconds
        self._first_defaults = Defaults(next(iter(lakes)))

    def query(
        self,
        sql: str,
        caller: Caller,
        parameters: pa.RecordBatch | None = None,
        *,
        text: str | None = None,
        versions: Mapping[str, int] | None = None,
        read_only: bool = False,
    ) -> PlannedQuery:
        """Plan a query; or run any other statement at once, and plan the answer with its number of changed rows.

        Statements with an effect never wait for a client to fetch: many never do.
        """
        statement = self._engine.parse(sql)
        if statement.kind.reads:
            return self._queries.plan(
                Query(statement.sql, caller.defaults, parameters, text, versions, caller.transaction)
            )
        if read_only:
            raise LakehouseError(
                ErrorKind.PERMISSION_DENIED, "read_only", "Only statements that read are allowed here."
            )
        changed = self._change(statement, parameters, caller)
        answer = self._queries.plan(Query(_count_query(changed), self._first_defaults, text=text))
        return replace(answer, changed_rows=changed)

    def update(self, sql: str, caller: Caller, parameters: pa.RecordBatch | None = None) -> int:
        """Run a statement with an effect and return the number of rows that it changed."""
        statement = self._engine.parse(sql)
        if statement.kind.reads:
            raise LakehouseError(
                ErrorKind.INVALID_ARGUMENT, "not_an_update", "The statement returns rows: run it as a query."
            )
        return self._change(statement, parameters, caller)

    def schema(
        self,
        sql: str,
        caller: Caller,
        parameters: pa.RecordBatch | None = None,
        *,
        text: str | None = None,
        versions: Mapping[str, int] | None = None,
    ) -> pa.Schema:
        """Return the schema of a statement's answer without running it."""
        statement = self._engine.parse(sql)
        if statement.kind.reads:
            query = Query(statement.sql, caller.defaults, parameters, text, versions, caller.transaction)
        else:
            query = Query(_count_query(0), self._first_defaults, text=text)
        return self._queries.plan(query).plan.schema

    def prepare(self, sql: str, caller: Caller, transaction_id: bytes | None) -> PreparedStatement:
        """Describe a statement, and put it into a handle that any replica can run."""
        statement = self._engine.parse(sql)
        schema, parameter_schema = self._describe(statement, caller)
        handle = PreparedHandle(
            sql=statement.sql,
            is_update=not statement.kind.reads,
            expires_at=time.time() + self._handle_seconds,
            transaction_id=transaction_id,
        )
        return PreparedStatement(
            self._signer.seal_handle(handle), schema, parameter_schema, is_update=not statement.kind.reads
        )

    def bind(self, handle: bytes, parameters: pa.RecordBatch | None) -> bytes:
        """Return the handle of the same statement with other parameters."""
        opened = self._signer.open_handle(handle)
        return self._signer.seal_handle(
            PreparedHandle(
                sql=opened.sql,
                is_update=opened.is_update,
                expires_at=time.time() + self._handle_seconds,
                transaction_id=opened.transaction_id,
                parameters=batch_to_ipc(parameters),
            )
        )

    def open(self, handle: bytes) -> tuple[PreparedHandle, pa.RecordBatch | None]:
        """Return what a handle holds: the statement and the parameters that were bound last."""
        opened = self._signer.open_handle(handle)
        return opened, batch_from_ipc(opened.parameters)

    def _describe(self, statement: Statement, caller: Caller) -> tuple[pa.Schema | None, pa.Schema | None]:
        if statement.kind.reads:
            plan = self._queries.plan(Query(statement.sql, caller.defaults, transaction=caller.transaction)).plan
            return plan.schema, plan.parameter_schema
        if not statement.parameter_count:
            return None, None
        return None, self._updates.parameter_schema(self._update_context(statement, None, caller))

    def _change(self, statement: Statement, parameters: pa.RecordBatch | None, caller: Caller) -> int:
        if statement.kind in _SESSION_KINDS:
            self._change_session(statement, caller)
            return 0
        if parameters is None or parameters.num_rows == 1 or statement.kind is StatementKind.INSERT:
            return self._updates.run(self._update_context(statement, parameters, caller))
        rows = (parameters.slice(row, 1) for row in range(parameters.num_rows))
        return sum(self._updates.run(self._update_context(statement, row, caller)) for row in rows)

    def _update_context(self, statement: Statement, parameters: pa.RecordBatch | None, caller: Caller) -> UpdateContext:
        return UpdateContext(statement, parameters, caller.defaults, caller.transaction, caller.on_running)

    def _change_session(self, statement: Statement, caller: Caller) -> None:
        session = caller.session
        if session is None:
            raise LakehouseError(
                ErrorKind.UNIMPLEMENTED, "session_required", "This statement needs a session, as Flight SQL has them."
            )
        match statement.kind:
            case StatementKind.USE:
                self._use(statement, session, caller.defaults)
            case StatementKind.BEGIN:
                session.begin(ClientTransaction(self._lakes))
            case StatementKind.COMMIT:
                session.end().commit()
            case StatementKind.ROLLBACK:
                session.end().rollback()

    def _use(self, statement: Statement, session: Session, defaults: Defaults) -> None:
        *_, last = statement.target
        if len(statement.target) > 1:
            catalog, schema = statement.target[0].lower(), last.lower()
        elif last.lower() in self._lakes:
            catalog, schema = last.lower(), "main"
        else:
            catalog, schema = defaults.catalog, last.lower()
        self.check_defaults(Defaults(catalog, schema))
        session.set_option("catalog", catalog)
        session.set_option("schema", schema)

    def check_defaults(self, defaults: Defaults) -> None:
        """Raise LakehouseError NOT_FOUND unless the lake and its schema exist."""
        snapshot = require_lake(self._lakes, defaults.catalog).lake.snapshot()
        if defaults.schema not in snapshot.schemas():
            raise LakehouseError(ErrorKind.NOT_FOUND, "schema_not_found", f'There is no schema "{defaults.schema}".')


def _count_query(count: int) -> str:
    """Return the answer to a statement that changes data when a client asks for rows, as DuckDB has it."""
    return f'SELECT CAST({count} AS BIGINT) AS "Count"'
