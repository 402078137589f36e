"""What the server says of itself, GetSqlInfo: one row per code, its value in a dense union.

A driver casts each value to the type that it expects, so the child of the union is part of the contract: JDBC breaks on
a wrong one, and a wrong child 3 takes the whole ADBC driver down. The codes below 10,000 are the protocol's; JDBC fails
on others, so there are none.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from .engine import EngineInfo
from .schemas import SQL_INFO, SQL_INFO_VALUE

_STRING, _BOOL, _BIGINT, _INT32, _STRINGS, _MAP = range(6)

Value = str | bool | int | Sequence[str] | Mapping[int, Sequence[int]]
Values = dict[int, tuple[int, Value]]
"""The child of the union and the value, by code."""

NAME_CHARACTERS = 63
"""Longest name of a lake, schema or dataset."""


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What GetSqlInfo tells beside the engine's dialect. Zero means no limit, or none that is known."""

    name: str
    version: str
    engine: EngineInfo
    read_only: bool = False
    statement_timeout_seconds: float = 0
    transaction_idle_seconds: float = 0
    max_sql_bytes: int = 0
    max_columns: int = 0


def sql_info_values(server: ServerInfo) -> Values:
    """Return the value of every code that the server answers."""
    return _server(server) | _language(server.engine) | _support() | _limits(server) | _transactions()


def sql_info_table(values: Values, codes: Iterable[int] = ()) -> pa.Table:
    """Return the rows for some codes, or for all when none are given; codes without a value are left out."""
    wanted = [code for code in dict.fromkeys(codes) or sorted(values) if code in values]
    columns: tuple[list[object], ...] = ([], [], [], [], [], [])
    offsets: list[int] = []
    for code in wanted:
        child, value = values[code]
        offsets.append(len(columns[child]))
        columns[child].append(list(value.items()) if isinstance(value, Mapping) else value)
    kinds = pa.array([values[code][0] for code in wanted], pa.int8())
    # from_dense() makes children that may be null, and such an array does not fit the schema.
    union = pa.Array.from_buffers(
        SQL_INFO_VALUE,
        len(wanted),
        [None, kinds.buffers()[1], pa.array(offsets, pa.int32()).buffers()[1]],
        children=[pa.array(column, SQL_INFO_VALUE.field(child).type) for child, column in enumerate(columns)],
    )
    return pa.Table.from_arrays([pa.array(wanted, pa.uint32()), union], schema=SQL_INFO)


def _strings(values: Mapping[int, str]) -> Values:
    return {code: (_STRING, value) for code, value in values.items()}


def _flags(true: Iterable[int] = (), false: Iterable[int] = ()) -> Values:
    values: Values = dict.fromkeys(true, (_BOOL, True))
    return values | dict.fromkeys(false, (_BOOL, False))


def _int32s(values: Mapping[int, int]) -> Values:
    return {code: (_INT32, value) for code, value in values.items()}


def _server(server: ServerInfo) -> Values:
    version = f"{server.version} ({server.engine.name} {server.engine.version})"
    return {
        **_strings({0: server.name, 1: version, 2: pa.__version__}),
        3: (_BOOL, server.read_only),
        **_flags(true=[4], false=[5]),  # SQL, Substrait
        **_int32s({8: 1}),  # transactions, without savepoints
        **_flags(true=[9, 10, 11]),  # cancel, bulk ingestion, ingestion in transactions
        **_int32s({100: _milliseconds(server.statement_timeout_seconds)}),
        **_int32s({101: _milliseconds(server.transaction_idle_seconds)}),
    }


def _milliseconds(seconds: float) -> int:
    return min(int(seconds * 1000), (1 << 31) - 1)


def _language(engine: EngineInfo) -> Values:
    return {
        **_flags(true=[501, 502], false=[500]),  # DDL for schemas and tables; lakes are mounted by the server
        **_int32s({503: 1, 505: 1}),  # names are compared without case, quoted or not
        **_strings({504: '"', 513: "\\", 514: "", 529: "schema", 530: "procedure", 531: "catalog"}),
        507: (_INT32, 3),  # nulls are sorted at the end
        508: (_STRINGS, engine.keywords),
        509: (_STRINGS, engine.numeric_functions),
        510: (_STRINGS, engine.string_functions),
        511: (_STRINGS, engine.system_functions),
        512: (_STRINGS, engine.datetime_functions),
        517: (_MAP, _conversions()),
    }


def _conversions() -> dict[int, list[int]]:
    """Return what CAST converts, by numbers of SqlSupportsConvert: from type to types."""
    bigint, decimal, single, integer, numeric, real, smallint, tinyint = 0, 5, 6, 7, 12, 13, 14, 17
    binary, bit, char, date, longvarchar, time, timestamp, varbinary, varchar = 1, 2, 3, 4, 11, 15, 16, 18, 19
    numbers = [bigint, bit, decimal, single, integer, numeric, real, smallint, tinyint]
    texts = [char, longvarchar, varchar]
    times = [date, time, timestamp]
    conversions = dict.fromkeys(numbers, numbers + texts)
    conversions |= {text: numbers + texts + times + [binary, varbinary] for text in texts}
    conversions |= {blob: [binary, varbinary, *texts] for blob in (binary, varbinary)}
    conversions |= {date: [date, timestamp, *texts], timestamp: times + texts, time: [time, *texts]}
    return {kind: sorted(conversions[kind]) for kind in sorted(conversions)}


def _support() -> Values:
    return {
        # All tables are selectable, column aliases, null + null is null, table aliases, expressions and columns that
        # are not selected in ORDER BY, LIKE … ESCAPE, NOT NULL columns, lake first in names, correlated subqueries,
        # batches of updates.
        **_flags(true=[506, 515, 516, 518, 520, 521, 523, 524, 532, 539, 572]),
        # Table aliases that must differ from all tables, integrity constraints, SELECT FOR UPDATE, stored procedures,
        # savepoints, parameters by name, locators, CALL for functions.
        **_flags(false=[519, 527, 536, 537, 573, 574, 575, 576]),
        **_int32s({522: 0b11}),  # GROUP BY columns that are not selected, and beyond
        **_int32s({525: 0b1, 526: 0b1}),  # minimum grammar, entry level: tools take it as "may I send plain SQL"
        **_int32s({528: 0b110}),  # all outer joins; JDBC reads bits where the protocol has a number
        **_int32s({533: 0, 534: 0}),  # names of schemas and lakes in procedures, indexes, privileges: we have none
        **_int32s({535: 0, 538: 0b1111, 540: 0b11}),  # no positioned updates; all subqueries; UNION [ALL]
        **_int32s({567: 0b10, 568: 0b10, 569: 0b10, 570: 0, 571: 0}),  # results are read forward, and only read
    }


def _limits(server: ServerInfo) -> Values:
    limits = dict.fromkeys([*range(541, 556), *range(557, 562)], 0)
    limits |= {548: server.max_columns, 557: server.max_sql_bytes}
    limits |= dict.fromkeys((552, 554, 559), NAME_CHARACTERS)
    return {**{code: (_BIGINT, limit) for code, limit in limits.items()}, **_flags(false=[556])}


def _transactions() -> Values:
    return {
        # Snapshot isolation. JDBC takes 562 for its own constant, where 4 is REPEATABLE READ, and wants a bigint; the
        # bit in 564 is the protocol's for the same level.
        562: (_BIGINT, 4),
        **_int32s({564: 1 << 3}),
        **_flags(true=[563], false=[565, 566]),  # DDL takes part in transactions like any change
    }
