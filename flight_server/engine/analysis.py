"""From a text to one statement that may run: what is known before any scope is."""

from dataclasses import dataclass

import pyarrow as pa

from catalog import ErrorKind, LakehouseError, quote_identifier

from . import Statement, StatementKind
from .encoding import stream_type
from .gate import Query, admit
from .lru import LruCache
from .parser import Parser, trimmed
from .sql_types import ArrowTypes
from .statement_reader import ColumnDefinition
from .statements import dissect, explained

_REMEMBERED_SQL = 64 * 1024


@dataclass(frozen=True, slots=True)
class Analysis:
    """A statement, and the query in it.

    Attributes:
        statement: the statement.
        head: EXPLAIN and its options, or nothing.
        body: the text of the query that runs: the statement itself, what EXPLAIN explains, or the source of its rows.
        query: that query, through the gate; None for statements without one.
    """

    statement: Statement
    head: str = ""
    body: str = ""
    query: Query | None = None


class Analyst:
    """Analyses texts, and remembers the last ones.

    Args:
        parser: DuckDB's.
        arrow_types: knows Arrow's types.
        max_sql_bytes: length of a text in UTF-8.
        capacity: texts that are remembered.
    """

    def __init__(self, parser: Parser, arrow_types: ArrowTypes, max_sql_bytes: int, capacity: int) -> None:
        self._parser = parser
        self._arrow_types = arrow_types
        self._max_sql_bytes = max_sql_bytes
        self._remembered: LruCache[Analysis] = LruCache(capacity)

    def analyse(self, sql: str) -> Analysis:
        """Analyse a text.

        Raises:
            LakehouseError: it is no single statement, or one that is not allowed.
        """
        analysis = self._remembered.get(sql)
        if analysis is None:
            self._check_text(sql)
            analysis = self._analyse(sql)
            if len(sql) <= _REMEMBERED_SQL:
                self._remembered.put(sql, analysis)
        return analysis

    def analyse_query(self, sql: str) -> Analysis:
        """Analyse a text that must be a query or an EXPLAIN."""
        analysis = self.analyse(sql)
        if not analysis.statement.kind.reads:
            raise LakehouseError(
                ErrorKind.INVALID_ARGUMENT, "not_a_query", "The statement changes something: run it as an update."
            )
        return analysis

    def _check_text(self, sql: str) -> None:
        try:
            size = len(sql.encode())
        except UnicodeEncodeError:
            raise _invalid("syntax_error", "The statement is not valid Unicode.") from None
        if size > self._max_sql_bytes:
            raise LakehouseError(
                ErrorKind.TOO_LARGE,
                "sql_too_large",
                f"The statement has {size} bytes; {self._max_sql_bytes} are allowed.",
            )
        if "\0" in sql:
            raise _invalid("syntax_error", "The statement contains a NUL character.")

    def _analyse(self, sql: str) -> Analysis:
        found = self._parser.statements(sql)
        if not found:
            raise _invalid("empty_statement", "There is no statement in the text.")
        if len(found) > 1:
            raise _invalid("multiple_statements", "One statement at a time, please.")
        kind, parameters = found[0]
        if kind == "SELECT":
            return self._query(trimmed(sql), StatementKind.QUERY)
        if kind == "EXPLAIN":
            head, body = explained(sql)
            return self._query(body, StatementKind.EXPLAIN, head)
        dissected = dissect(kind, sql, len(parameters))
        statement = dissected.statement
        if dissected.definitions:
            return Analysis(_with_schema(statement, self._columns(dissected.definitions)))
        if statement.source_sql is None:
            return Analysis(statement)
        return Analysis(statement, body=statement.source_sql, query=admit(statement.source_sql, self._parser))

    def _query(self, body: str, kind: StatementKind, head: str = "") -> Analysis:
        query = admit(body, self._parser)
        sql = f"{head}\n{body}" if head else body
        return Analysis(Statement(kind, sql, parameter_count=len(query.parameters)), head, body, query)

    def _columns(self, definitions: tuple[ColumnDefinition, ...]) -> pa.Schema:
        """Return the schema of column definitions, as DuckDB understands their types."""
        columns = ", ".join(
            f"CAST(NULL AS {column.type_sql}) AS {quote_identifier(column.name)}" for column in definitions
        )
        sql = f"SELECT {columns}"
        query = admit(sql, self._parser)
        expressions = query.tree["node"]["select_list"]
        if len(expressions) != len(definitions) or any(item.get("class") != "CAST" for item in expressions):
            raise _invalid("syntax_error", "A column definition is not understood.")
        types = [stream_type(kind) or str(kind) for kind in self._parser.types(sql)]
        fields = zip(self._arrow_types.fields(types), definitions, strict=True)
        return pa.schema([field.with_name(column.name).with_nullable(column.nullable) for field, column in fields])


def _with_schema(statement: Statement, schema: pa.Schema) -> Statement:
    return Statement(
        statement.kind,
        statement.sql,
        target=statement.target,
        schema=schema,
        if_not_exists=statement.if_not_exists,
        or_replace=statement.or_replace,
    )


def _invalid(code: str, message: str) -> LakehouseError:
    return LakehouseError(ErrorKind.INVALID_ARGUMENT, code, message)
