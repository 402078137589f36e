"""What rows look like when they leave the engine.

Some of DuckDB's types have no Arrow type that clients agree on (an ENUM would be a dictionary, a BIT an undocumented
binary, a UHUGEINT a decimal that overflows silently): a cast inside the query turns them into ones that have. Text
formats are made inside the query, too, about nine times faster than row by row in Python.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
from duckdb.sqltypes import DuckDBPyType

from catalog import ErrorKind, LakehouseError, quote_identifier

from .sql_types import ArrowTypes

TEXT_FORMATS = ("json", "ndjson")

_RECAST = {
    "bignum": "VARCHAR",
    "bit": "VARCHAR",
    "enum": "VARCHAR",
    "hugeint": "DECIMAL(38,0)",
    "time with time zone": "VARCHAR",
    "uhugeint": "VARCHAR",
    "union": "VARCHAR",
    "variant": "VARCHAR",
}
_FLOATS = frozenset({"float", "double"})
_MOMENTS = frozenset({"timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns"})
_ZONED_MOMENTS = frozenset({"timestamp with time zone", "timestamptz_ns"})


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a query's rows are turned into the stream's.

    Attributes:
        sql: the query to run.
        schema: of the stream.
        types: of the stream's columns, in DuckDB's words.
        wrapped: the user's text stands one line further down in ``sql``.
        projection: what is selected of the query's rows, where the query cannot be part of another one.
    """

    sql: str
    schema: pa.Schema
    types: tuple[str, ...]
    wrapped: bool
    projection: str | None = None


def encode(
    sql: str, names: Sequence[str], types: Sequence[DuckDBPyType], arrow_types: ArrowTypes, text: str | None
) -> Encoding:
    """Decide how the rows of a query leave the engine.

    Args:
        sql: the query.
        names: of its columns; they may repeat.
        types: of its columns.
        arrow_types: knows Arrow's types.
        text: a text format, or None for Arrow.
    """
    if text is not None:
        return _encode_text(sql, names, types, text)
    casts = [stream_type(kind) for kind in types]
    finals = [cast or str(kind) for cast, kind in zip(casts, types, strict=True)]
    fields = arrow_types.fields(finals)
    schema = pa.schema([field.with_name(name) for field, name in zip(fields, names, strict=True)])
    if not any(casts):
        return Encoding(sql, schema, tuple(finals), wrapped=False)
    return Encoding(cast_sql(sql, casts), schema, tuple(finals), wrapped=True)


def cast_sql(sql: str, casts: Sequence[str | None]) -> str:
    """Return a query with the columns of ``sql``, cast; its column names mean nothing."""
    columns = [f"c{number}" if cast is None else f"CAST(c{number} AS {cast})" for number, cast in enumerate(casts)]
    return f"SELECT {', '.join(columns)} FROM (\n{sql}\n) AS result({_aliases(len(casts))})"  # noqa: S608 the parts have passed the gate


def stream_type(kind: DuckDBPyType) -> str | None:
    """Return the type that a value is cast to before it leaves, or None if it leaves as it is."""
    recast = _RECAST.get(kind.id)
    if recast is not None:
        return recast
    match kind.id:
        case "list":
            child = stream_type(_child(kind))
            return None if child is None else f"{child}[]"
        case "array":
            child = stream_type(_child(kind))
            return None if child is None else f"{child}[{dict(kind.children)['size']}]"
        case "map":
            key, value = _parts(kind).values()
            if stream_type(key) is None and stream_type(value) is None:
                return None
            return f"MAP({stream_type(key) or key}, {stream_type(value) or value})"
        case "struct":
            if all(stream_type(part) is None for part in _parts(kind).values()):
                return None
            parts = ", ".join(
                f"{quote_identifier(name)} {stream_type(part) or part}" for name, part in _parts(kind).items()
            )
            return f"STRUCT({parts})"
        case _:
            return None


def encode_explained(sql: str, text: str | None) -> Encoding:
    """Return the encoding of an EXPLAIN: two columns of text."""
    columns = ("explain_key", "explain_value")
    if text is None:
        return Encoding(sql, pa.schema([(name, pa.string()) for name in columns]), ("VARCHAR", "VARCHAR"), wrapped=True)
    pairs = ", ".join(f"{quote_identifier(name)}: {name}" for name in columns)
    return Encoding(sql, pa.schema([(text, pa.string())]), ("VARCHAR",), wrapped=True, projection=_line(pairs, text))


def _encode_text(sql: str, names: Sequence[str], types: Sequence[DuckDBPyType], text: str) -> Encoding:
    pairs = ", ".join(
        f"{quote_identifier(key)}: {_json_value(f'c{number}', kind)}"
        for number, (key, kind) in enumerate(zip(unique_names(names), types, strict=True))
    )
    sql = f"SELECT {_line(pairs, text)} FROM (\n{sql}\n) AS result({_aliases(len(names))})"  # noqa: S608 the parts have passed the gate
    return Encoding(sql, pa.schema([(text, pa.string())]), ("VARCHAR",), wrapped=True)


def _line(pairs: str, text: str) -> str:
    """Return the expression that encodes a row."""
    if text not in TEXT_FORMATS:
        raise LakehouseError(
            ErrorKind.INVALID_ARGUMENT,
            "unknown_format",
            f"There is no text format {text!r}: {', '.join(TEXT_FORMATS)}.",
        )
    row = f"to_json({{{pairs}}})"
    return f"concat({row}, chr(10))" if text == "ndjson" else f"concat(',', chr(10), {row})"


def unique_names(names: Sequence[str]) -> list[str]:
    """Number the names that repeat, apart from upper and lower case: a, a_1, a_2."""
    taken: set[str] = set()
    result = []
    for name in names:
        candidate, number = name, 0
        while candidate.lower() in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken.add(candidate.lower())
        result.append(candidate)
    return result


def _json_value(value: str, kind: DuckDBPyType, depth: int = 0) -> str:
    """Return the expression that JSON is made of: ISO 8601 moments, base64 bytes, null for what is no number."""
    if kind.id in _FLOATS:
        return f"CASE WHEN isfinite({value}) THEN {value} END"
    if kind.id in _MOMENTS:
        return f"replace(CAST({value} AS VARCHAR), ' ', 'T')"
    if kind.id in _ZONED_MOMENTS:
        return f"replace(replace(CAST({value} AS VARCHAR), ' ', 'T'), '+00', 'Z')"
    if kind.id == "blob":
        return f"to_base64({value})"
    if kind.id in {"bignum", "bit", "time with time zone", "interval", "variant", "union"}:
        return f"CAST({value} AS VARCHAR)"
    return _json_nested(value, kind, depth)


def _json_nested(value: str, kind: DuckDBPyType, depth: int) -> str:
    item = f"x{depth}"
    if kind.id in {"list", "array"}:
        inner = _json_value(item, _child(kind), depth + 1)
        return value if inner == item else f"list_transform(CAST({value} AS {_child(kind)}[]), lambda {item}: {inner})"
    if kind.id == "struct" and kind.children:
        parts = {
            name: (
                f"({value}).{quote_identifier(name)}",
                _json_value(f"({value}).{quote_identifier(name)}", part, depth),
            )
            for name, part in _parts(kind).items()
        }
        if all(plain == made for plain, made in parts.values()):
            return value
        fields = ", ".join(f"{quote_identifier(name)}: {made}" for name, (_, made) in parts.items())
        return f"CASE WHEN {value} IS NOT NULL THEN {{{fields}}} END"
    if kind.id == "map":
        return _json_map(value, kind, depth)
    return value


def _json_map(value: str, kind: DuckDBPyType, depth: int) -> str:
    content = _parts(kind)["value"]
    item = f"x{depth}"
    made = _json_value(f"{item}.value", content, depth + 1)
    if made == f"{item}.value":
        return value
    entry = f"{{'key': {item}.key, 'value': {made}}}"
    return f"map_from_entries(list_transform(map_entries({value}), lambda {item}: {entry}))"


def _child(kind: DuckDBPyType) -> DuckDBPyType:
    return _parts(kind)["child"]


def _parts(kind: DuckDBPyType) -> dict[str, DuckDBPyType]:
    """Return the types inside a type, by name."""
    return {name: part for name, part in kind.children if isinstance(part, DuckDBPyType)}


def _aliases(count: int) -> str:
    return ", ".join(f"c{number}" for number in range(count))
