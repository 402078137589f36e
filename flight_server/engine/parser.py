"""DuckDB's own parser, as a service: what kind of statement a text is, its tokens, and a query's tree.

No second parser decides anything: where two parsers differ, a gate has a hole. User text is only ever an argument
here, nothing of it runs.
"""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb
from duckdb.sqltypes import DuckDBPyType

from catalog import ErrorKind, LakehouseError

from .failures import translate
from .sql_types import ArrowTypes

_SERIALIZE = "SELECT json_serialize_sql(?::VARCHAR, skip_null := true, skip_empty := true, skip_default := true)"

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a statement: its text and where it lies in the text (in characters)."""

    text: str
    start: int
    end: int
    kind: str

    @property
    def word(self) -> str:
        """The token in lower case; quoted identifiers and strings keep their quotes, so they equal no keyword."""
        return self.text.lower()


class Parser:
    """Parses SQL. Safe for use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection = duckdb.connect(
            ":memory:",
            config={"threads": 1, "python_enable_replacements": False, "autoload_known_extensions": False},
        )
        for setting in ("GLOBAL TimeZone = 'UTC'", "enable_external_access = false", "lock_configuration = true"):
            self._connection.execute(f"SET {setting}")

    def statements(self, sql: str) -> list[tuple[str, frozenset[str]]]:
        """Split a text into statements: (type such as ``SELECT``, names of its parameters)."""
        try:
            with self._lock:
                found = self._connection.extract_statements(sql)
        except duckdb.Error as error:
            raise translate(error) from None
        return [(_type_name(statement), frozenset(statement.named_parameters)) for statement in found]

    def types(self, sql: str) -> list[DuckDBPyType]:
        """Return the types of the columns of a query that has passed the gate and reads no dataset; it does not run."""
        try:
            with self._lock:
                return list(self._connection.sql(sql).types)
        except duckdb.Error as error:
            raise translate(error) from None

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a query of ours."""
        with self._lock:
            return self._connection.sql(sql).fetchall()

    def arrow_types(self) -> ArrowTypes:
        """Return what knows Arrow's types, on a connection of its own."""
        return ArrowTypes(self._connection.cursor())

    def tree(self, sql: str) -> Tree:
        """Parse one query.

        Raises:
            LakehouseError: syntax_error, not_implemented, or TOO_LARGE ``statement_too_complex``.
        """
        try:
            with self._lock:
                ((text,),) = self._connection.sql(_SERIALIZE, params=[sql]).fetchall()
            answer: Tree = json.loads(text)
        except duckdb.Error as error:
            raise translate(error) from None
        except RecursionError:
            raise LakehouseError(
                ErrorKind.TOO_LARGE, "statement_too_complex", "The statement is nested too deeply."
            ) from None
        if answer["error"]:
            code = "syntax_error" if answer.get("error_type") == "parser" else "statement_not_allowed"
            raise LakehouseError(ErrorKind.INVALID_ARGUMENT, code, str(answer.get("error_message", ""))[:1000])
        (statement,) = answer["statements"]
        result: Tree = statement
        return result

    def close(self) -> None:
        """Free the parser."""
        self._connection.close()


def tokenize(sql: str) -> list[Token]:
    """Return the tokens of a text, without comments."""
    data = sql.encode()
    raw = duckdb.tokenize(sql)
    ends = [start for start, _ in raw[1:]] + [len(data)]
    position = len(data[: raw[0][0]].decode()) if raw else 0
    tokens = []
    for (start, kind), end in zip(raw, ends, strict=True):
        padded = data[start:end].decode()
        text = padded.rstrip()
        if kind != duckdb.token_type.comment:
            tokens.append(Token(text, position, position + len(text), kind.name))
        position += len(padded)
    return tokens


def trimmed(sql: str) -> str:
    """Return a single statement's text without what surrounds it: white space, comments at its ends, semicolons."""
    if "--" not in sql and "/*" not in sql:
        return sql.strip("; \n\t\r\f\v")
    tokens = tokenize(sql)
    while tokens and tokens[-1].text == ";":
        tokens.pop()
    while tokens and tokens[0].text == ";":
        tokens.pop(0)
    return sql[tokens[0].start : tokens[-1].end] if tokens else ""


def _type_name(statement: duckdb.Statement) -> str:
    """Return the name of a statement's type; those that duckdb's own list lacks, such as UPDATE EXTENSIONS, have none."""
    try:
        return str(statement.type.name)
    except ValueError:
        return "UNKNOWN"


def nodes(tree: Tree) -> Iterator[Tree]:
    """Yield every node of a tree, whatever it hangs on; a node comes before what hangs on it."""
    waiting: list[Any] = [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += item
        elif isinstance(item, dict):
            yield item
            waiting += item.values()
