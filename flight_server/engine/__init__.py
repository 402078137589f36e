"""The seam between the server and whatever runs its SQL.

Nothing here knows DuckDB, and nothing outside this package imports it. An engine reads datasets through a
:class:`Scope` (what this caller may read, at exactly one snapshot per lake) and never writes: statements that change a
lake are taken apart by :meth:`Engine.parse` and become catalog commits elsewhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Protocol, Self

import pyarrow as pa

from catalog import DatasetEntry, DatasetName, Manifest, ObjectReader


class LakeSnapshot(Protocol):
    """What the engine needs of one lake at one version; ``catalog.Snapshot`` is one."""

    def schemas(self) -> list[str]:
        """Return the names of all schemas."""
        ...

    def entries(self, schema: str | None = None) -> list[DatasetEntry]:
        """Return the datasets of one schema, or of all."""
        ...

    def find(self, name: DatasetName) -> DatasetEntry | None:
        """Return a dataset's entry, or None."""
        ...

    def manifest(self, entry: DatasetEntry) -> Manifest:
        """Return the manifest that an entry names."""
        ...


@dataclass(frozen=True, slots=True)
class Scope:
    """What one statement may see.

    Attributes:
        lakes: snapshot per lake that the caller may read; the lake's name is the catalog's name in SQL.
        readers: reader per lake, for the same names.
        catalog: the lake that unqualified names belong to.
        schema: the schema that unqualified names belong to.
    """

    lakes: Mapping[str, LakeSnapshot]
    readers: Mapping[str, ObjectReader]
    catalog: str = "lake"
    schema: str = "main"


class StatementKind(Enum):
    """What a statement does. Only QUERY and EXPLAIN run in the engine."""

    QUERY = "query"
    EXPLAIN = "explain"
    INSERT = "insert"
    CREATE_TABLE = "create_table"
    CREATE_TABLE_AS = "create_table_as"
    DROP_TABLE = "drop_table"
    DELETE = "delete"
    TRUNCATE = "truncate"
    CREATE_SCHEMA = "create_schema"
    DROP_SCHEMA = "drop_schema"
    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    USE = "use"
    SET = "set"

    @property
    def reads(self) -> bool:
        """Whether the statement is one that :meth:`Engine.plan` and :meth:`Engine.execute` take."""
        return self in {StatementKind.QUERY, StatementKind.EXPLAIN}

    @property
    def writes(self) -> bool:
        """Whether the statement changes a lake."""
        return self in _WRITES


_WRITES = frozenset(
    {
        StatementKind.INSERT,
        StatementKind.CREATE_TABLE,
        StatementKind.CREATE_TABLE_AS,
        StatementKind.DROP_TABLE,
        StatementKind.DELETE,
        StatementKind.TRUNCATE,
        StatementKind.CREATE_SCHEMA,
        StatementKind.DROP_SCHEMA,
    }
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, taken apart.

    Attributes:
        sql: the statement's own text, without the closing semicolon.
        target: parts of the name it acts on, unquoted, as written (one to three for a table, one or two for a schema
            or USE); empty for statements without one. For SET: the setting's name and value.
        columns: names in INSERT's column list, or None.
        by_name: INSERT … BY NAME.
        source_sql: the rows of INSERT and CREATE TABLE AS: a slice of the user's own text that is a query.
        schema: of CREATE TABLE, from its column definitions.
        parameter_count: number of distinct parameters in the statement.
    """

    kind: StatementKind
    sql: str
    target: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None
    by_name: bool = False
    source_sql: str | None = None
    schema: pa.Schema | None = None
    if_exists: bool = False
    if_not_exists: bool = False
    or_replace: bool = False
    parameter_count: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a query will return and what it wants.

    Attributes:
        schema: exactly the schema of the stream that :meth:`Engine.execute` returns for the same arguments.
        parameter_schema: one field per parameter; type null where the type cannot be told before it is bound.
    """

    schema: pa.Schema
    parameter_schema: pa.Schema


class ResultStream(Protocol):
    """The rows of one running query. Iterate it on one thread; cancel it from any.

    Every batch has exactly ``schema`` and stays below ``engine.message_bytes``, except for a single row that is
    larger. Errors are LakehouseError. Close it: an instance of the engine is taken until then.
    """

    @property
    def schema(self) -> pa.Schema:
        """The schema of every batch."""
        ...

    def __iter__(self) -> Iterator[pa.RecordBatch]: ...

    def __next__(self) -> pa.RecordBatch: ...

    def cancel(self) -> None:
        """Stop the query as soon as the engine can; the iterating thread gets CANCELLED. Idempotent."""
        ...

    def close(self) -> None:
        """Free everything that the query holds. Idempotent; cancels what still runs."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine says of its SQL dialect, for GetSqlInfo."""

    name: str
    version: str
    keywords: Sequence[str] = field(default=())
    numeric_functions: Sequence[str] = field(default=())
    string_functions: Sequence[str] = field(default=())
    datetime_functions: Sequence[str] = field(default=())
    system_functions: Sequence[str] = field(default=())


class Engine(Protocol):
    """Runs SQL over snapshots. Safe for use from several threads. Every error is a LakehouseError."""

    def parse(self, sql: str) -> Statement:
        """Take one statement apart; whatever is not known to be harmless is refused."""
        ...

    def plan(self, sql: str, parameters: pa.RecordBatch | None, scope: Scope, *, text: str | None = None) -> Plan:
        """Describe a query without running it.

        Args:
            sql: one statement that reads.
            parameters: a batch whose columns are the parameters in order (types matter, rows do not), or None.
            scope: what the statement may see.
            text: as for :meth:`execute`.
        """
        ...

    def execute(
        self,
        sql: str,
        parameters: pa.RecordBatch | None,
        scope: Scope,
        *,
        text: str | None = None,
        timeout_seconds: float | None = None,
    ) -> ResultStream:
        """Run a query.

        Args:
            sql: one statement that reads.
            parameters: a batch whose columns are the parameters in order; a query runs once per row and the results
                follow one another. None, or a batch without columns, means no parameters.
            scope: what the statement may see.
            text: None for Arrow; ``ndjson`` or ``json`` for a stream with one utf8 column of that name, in which each
                value is one encoded row: a line and its newline, or ``,`` + newline + object.
            timeout_seconds: instead of ``engine.statement_timeout_seconds``, and never above it.
        """
        ...

    def insert_source(
        self, statement: Statement, target: pa.Schema, parameters: pa.RecordBatch | None, scope: Scope
    ) -> str:
        """Return the query whose rows, in the target's columns and types, an INSERT adds.

        Values are cast as DuckDB's own INSERT would; columns that the statement does not name are NULL.

        Args:
            statement: an INSERT.
            target: schema of the dataset.
            parameters: as for :meth:`plan`; the returned query takes the same ones.
            scope: what the statement may see.
        """
        ...

    def table_schema(self, statement: Statement, parameters: pa.RecordBatch | None, scope: Scope) -> pa.Schema:
        """Return the Arrow schema of the table that a CREATE TABLE [AS] makes."""
        ...

    def info(self) -> EngineInfo:
        """Describe the dialect."""
        ...

    def close(self) -> None:
        """Cancel what runs and free everything. Idempotent."""
        ...


__all__ = [
    "Engine",
    "EngineInfo",
    "LakeSnapshot",
    "Plan",
    "ResultStream",
    "Scope",
    "Statement",
    "StatementKind",
]
