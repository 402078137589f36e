"""Statements other than queries, taken apart.

DuckDB says what kind of statement a text is and where its tokens are; the parts are slices of the user's own text, and a
part that is a query or a type passes the same gate as any query. What is not understood to the last token is refused.
"""

from collections.abc import Callable

from catalog import ErrorKind, LakehouseError

from . import StatementKind
from .statement_reader import CLOSING, OPENING, ColumnDefinition, Dissected, StatementReader, not_allowed, unsupported

_NOT_YET = {"UPDATE": "UPDATE", "MERGE_INTO": "MERGE INTO", "ALTER": "ALTER", "MULTI": "PIVOT as a statement"}
_NOT_YET_HINT = {"MULTI": " Write FROM (PIVOT … ON … IN (…) USING …) instead."}
_UTC = frozenset({"'utc'", "'etc/utc'", "utc", "default"})
_CONSTRAINTS = frozenset(
    {
        "as",
        "check",
        "collate",
        "constraint",
        "default",
        "foreign",
        "generated",
        "primary",
        "references",
        "unique",
        "using",
    }
)


def dissect(kind: str, sql: str, parameter_count: int) -> Dissected:
    """Take a statement apart.

    Args:
        kind: DuckDB's name of the statement's type.
        sql: the statement's text.
        parameter_count: number of its parameters.

    Raises:
        LakehouseError: UNIMPLEMENTED ``statement_not_supported`` or PERMISSION_DENIED ``statement_not_allowed``.
    """
    if kind in _NOT_YET:
        raise unsupported(_NOT_YET[kind], _NOT_YET_HINT.get(kind, ""))
    take = _KINDS.get(kind)
    if take is None:
        raise not_allowed(f"{kind.replace('_', ' ')} statements are not available in this server.")
    reader = StatementReader(sql, parameter_count)
    dissected = take(reader)
    reader.expect_end()
    return dissected


def _insert(reader: StatementReader) -> Dissected:
    prefix = _prefix(reader, "insert")
    reader.expect("insert")
    if reader.word == "or":
        raise unsupported("INSERT OR REPLACE / OR IGNORE")
    reader.accept("into")
    target = reader.name()
    columns = None
    if reader.word == "(" and reader.tokens[reader.at + 1].word not in {
        "select",
        "from",
        "with",
        "values",
        "table",
        "(",
    }:
        columns = _column_list(reader)
    by_name = reader.accept("by", "name")
    reader.accept("by", "position")
    if reader.word == "default":
        raise unsupported("INSERT … DEFAULT VALUES")
    for position in reader.top_level():
        following = reader.tokens[position + 1].word if position + 1 < len(reader.tokens) else ""
        if reader.tokens[position].word == "returning":
            raise unsupported("INSERT … RETURNING")
        if reader.tokens[position].word == "on" and following == "conflict":
            raise unsupported("INSERT … ON CONFLICT")
    if prefix and reader.word == "with":
        raise unsupported("INSERT with two WITH clauses")
    source = f"{prefix}{reader.rest()}"
    return reader.statement(StatementKind.INSERT, target=target, columns=columns, by_name=by_name, source_sql=source)


def _prefix(reader: StatementReader, verb: str) -> str:
    """Step over WITH … before a verb; return its text."""
    if reader.word != "with":
        return ""
    for position in reader.top_level():
        if reader.tokens[position].word == verb:
            prefix = reader.slice(0, position) + "\n"
            reader.at = position
            return prefix
    raise unsupported("This statement")


def _column_list(reader: StatementReader) -> tuple[str, ...]:
    reader.expect("(")
    columns = [*reader.name()]
    while reader.accept(","):
        columns += reader.name()
    reader.expect(")")
    return tuple(columns)


def _create(reader: StatementReader) -> Dissected:
    reader.expect("create")
    or_replace = reader.accept("or", "replace")
    if reader.accept("schema"):
        if or_replace:
            raise unsupported("CREATE OR REPLACE SCHEMA")
        if_not_exists = reader.accept("if", "not", "exists")
        return reader.statement(StatementKind.CREATE_SCHEMA, target=reader.name(), if_not_exists=if_not_exists)
    if not reader.accept("table"):
        raise unsupported(f"CREATE {reader.word.upper()[:40]}")
    if_not_exists = reader.accept("if", "not", "exists")
    target = reader.name()
    flags = {"target": target, "or_replace": or_replace, "if_not_exists": if_not_exists}
    if reader.accept("as"):
        return reader.statement(StatementKind.CREATE_TABLE_AS, source_sql=reader.rest(), **flags)
    if reader.word != "(":
        raise unsupported("This form of CREATE TABLE")
    definitions = _definitions(reader)
    if reader.word == "as":
        raise unsupported("A column list in CREATE TABLE … AS")
    return Dissected(reader.statement(StatementKind.CREATE_TABLE, **flags).statement, definitions)


def _definitions(reader: StatementReader) -> tuple[ColumnDefinition, ...]:
    end = reader.closing()
    reader.expect("(")
    definitions, first, depth = [], reader.at, 0
    for position in range(reader.at, end + 1):
        text = reader.tokens[position].text
        if depth == 0 and (text == "," or position == end):
            definitions.append(_definition(reader, first, position))
            first = position + 1
        depth += (text in OPENING) - (text in CLOSING)
    reader.at = end + 1
    return tuple(definitions)


def _definition(reader: StatementReader, first: int, last: int) -> ColumnDefinition:
    reader.at = first
    if reader.word in {"primary", "unique", "check", "foreign", "constraint", "like"}:
        raise unsupported(f"{reader.word.upper()} in CREATE TABLE")
    (name,) = reader.name()[:1]
    first = reader.at
    nullable, end, depth = True, last, 0
    for position in range(first, last):
        word = reader.tokens[position].word
        if depth == 0 and word in _CONSTRAINTS:
            raise unsupported(f"{word.upper()} in a column of CREATE TABLE")
        if depth == 0 and word in {"not", "null"}:
            end = min(end, position)
            nullable = nullable and word != "not"
        elif position > end:
            raise unsupported("This column definition")
        depth += (word in OPENING) - (word in CLOSING)
    return ColumnDefinition(name, reader.slice(first, end), nullable)


def _drop(reader: StatementReader) -> Dissected:
    if not reader.accept("drop"):
        raise not_allowed(f"{reader.word.upper()[:40]} is not available in this server.")
    kinds = {"table": StatementKind.DROP_TABLE, "schema": StatementKind.DROP_SCHEMA}
    kind = kinds.get(reader.word)
    if kind is None:
        raise unsupported(f"DROP {reader.word.upper()[:40]}")
    reader.at += 1
    if_exists = reader.accept("if", "exists")
    target = reader.name()
    if reader.word == ",":
        raise unsupported("DROP of several things at once")
    if kind is StatementKind.DROP_SCHEMA and reader.word == "cascade":
        raise unsupported("DROP SCHEMA … CASCADE", " Drop its datasets first.")
    if not reader.accept("restrict"):
        reader.accept("cascade")
    return reader.statement(kind, target=target, if_exists=if_exists)


def _delete(reader: StatementReader) -> Dissected:
    if reader.accept("truncate"):
        reader.accept("table")
        return reader.statement(StatementKind.TRUNCATE, target=reader.name())
    if reader.word == "with":
        raise unsupported("DELETE with a WITH clause")
    reader.expect("delete", "from")
    target = reader.name()
    for word in ("where", "using", "returning"):
        if reader.word == word:
            raise unsupported(f"DELETE … {word.upper()}", " DELETE FROM without a condition and TRUNCATE work.")
    return reader.statement(StatementKind.DELETE, target=target)


def _transaction(reader: StatementReader) -> Dissected:
    kinds = {
        "begin": StatementKind.BEGIN,
        "start": StatementKind.BEGIN,
        "commit": StatementKind.COMMIT,
        "end": StatementKind.COMMIT,
        "rollback": StatementKind.ROLLBACK,
        "abort": StatementKind.ROLLBACK,
    }
    kind = kinds.get(reader.word)
    if kind is None:
        raise unsupported(reader.word.upper()[:40])
    reader.at += 1
    if not reader.accept("transaction"):
        reader.accept("work")
    reader.accept("read", "write")
    return reader.statement(kind)


def _set(reader: StatementReader) -> Dissected:
    if reader.accept("use"):
        return reader.statement(StatementKind.USE, target=reader.name())
    if not reader.accept("set"):
        raise not_allowed("Settings cannot be reset in this server.")
    if not reader.accept("session") and not reader.accept("global"):
        reader.accept("local")
    if reader.accept("time", "zone"):
        name = "timezone"
    else:
        name = reader.name()[-1].lower()
        if not reader.accept("="):
            reader.accept("to")
    value = reader.rest()
    if name != "timezone" or value.lower() not in _UTC:
        raise LakehouseError(
            ErrorKind.PERMISSION_DENIED,
            "setting_not_allowed",
            "The only setting is timezone, and its only value is 'UTC'.",
        )
    return reader.statement(StatementKind.SET, target=("timezone", "UTC"))


_KINDS: dict[str, Callable[[StatementReader], Dissected]] = {
    "INSERT": _insert,
    "CREATE": _create,
    "DROP": _drop,
    "DELETE": _delete,
    "TRANSACTION": _transaction,
    "SET": _set,
}


def explained(sql: str) -> tuple[str, str]:
    """Split EXPLAIN into our own spelling of its head and the statement that it explains.

    Raises:
        LakehouseError: UNIMPLEMENTED ``statement_not_supported``.
    """
    reader = StatementReader(sql, 0)
    reader.expect("explain")
    options = []
    if reader.accept("analyze"):
        options.append("ANALYZE")
    if reader.word == "(" and reader.tokens[reader.at + 1].word in {"analyze", "format"}:
        end = reader.closing()
        words = [token.word for token in reader.tokens[reader.at + 1 : end] if token.text != ","]
        reader.at = end + 1
        options += _explain_options(words)
    head = f"EXPLAIN ({', '.join(dict.fromkeys(options))})" if options else "EXPLAIN"
    return head, reader.rest()


def _explain_options(words: list[str]) -> list[str]:
    formats = {"text", "json", "'text'", "'json'"}
    options, position = [], 0
    while position < len(words):
        if words[position] == "analyze":
            options.append("ANALYZE")
            position += 1
        elif words[position] == "format" and position + 1 < len(words) and words[position + 1] in formats:
            options.append(f"FORMAT {words[position + 1].strip(chr(39)).upper()}")
            position += 2
        else:
            raise unsupported("This option of EXPLAIN", " It takes ANALYZE, FORMAT TEXT and FORMAT JSON.")
    return options
