"""What DuckDB says of its own dialect, for clients that ask."""

import duckdb

from . import EngineInfo
from .gate import DENIED_FUNCTIONS, DENIED_PREFIXES
from .parser import Parser

_FUNCTIONS = """
    SELECT DISTINCT function_name AS name, parameter_types[1] AS first
    FROM duckdb_functions()
    WHERE function_type IN ('scalar', 'macro') AND regexp_full_match(function_name, '[a-z][a-z0-9_]*')
    ORDER BY ALL
"""
_NUMBERS = frozenset({"BIGINT", "DOUBLE", "FLOAT", "HUGEINT", "INTEGER", "DECIMAL", "SMALLINT", "TINYINT"})
_MOMENTS = frozenset({"DATE", "TIME", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "INTERVAL"})
_SYSTEM = (
    "current_catalog",
    "current_database",
    "current_schema",
    "current_schemas",
    "current_user",
    "pg_typeof",
    "session_user",
    "typeof",
    "user",
    "version",
)


def describe_dialect(parser: Parser) -> EngineInfo:
    """Ask DuckDB for its keywords and functions."""
    words = "SELECT DISTINCT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved' ORDER BY ALL"
    by_type: dict[str, set[str]] = {}
    for name, first in parser.rows(_FUNCTIONS):
        if name not in DENIED_FUNCTIONS and not name.startswith(DENIED_PREFIXES):
            by_type.setdefault(str(first), set()).add(name)
    return EngineInfo(
        name="DuckDB",
        version=duckdb.__version__,
        keywords=tuple(str(row[0]).upper() for row in parser.rows(words)),
        numeric_functions=_sorted(by_type, _NUMBERS),
        string_functions=_sorted(by_type, frozenset({"VARCHAR"})),
        datetime_functions=_sorted(by_type, _MOMENTS),
        system_functions=_SYSTEM,
    )


def _sorted(by_type: dict[str, set[str]], types: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(set().union(*(by_type.get(kind, set()) for kind in types))))
