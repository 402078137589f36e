"""The 22 queries of TPC-H, warm, against DuckDB in process over the same objects; every answer has to be the same."""

import math
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from clients import connect

from .harness import Finding, Spread, Target, slowdown, take_turns
from .lab import TABLES, Lab

MARK = Target(1.15, at_most=True)
QUERIES = sorted(Path(__file__).with_name("tpch").glob("*.sql"))
TOLERANCE = 1e-9
"""Relative: sums of doubles depend on the order in which threads finish."""


class WrongAnswerError(Exception):
    """The server's answer is not DuckDB's."""


def measure(lab: Lab) -> list[Finding]:
    """Time each query in turns; the mark is on the sum over all 22, round by round."""
    ours: list[list[float]] = []
    theirs: list[list[float]] = []
    worst: list[tuple[float, str]] = []
    with connect(lab.local.flight) as client, lab.duckdb(*TABLES) as baseline:
        for path in QUERIES:
            sql = path.read_text()
            found, expected = client.query(sql).to_table(), baseline.sql(sql).to_arrow_table()
            if not same_rows(found, expected):
                raise WrongAnswerError(f"query {path.stem}: {found.to_pylist()[:3]} is not {expected.to_pylist()[:3]}")
            seconds = take_turns(
                {
                    "ours": lambda sql=sql: client.query(sql).to_table(),
                    "theirs": lambda sql=sql: baseline.sql(sql).to_arrow_table(),
                },
                lab.rounds,
            )
            ours.append(seconds["ours"])
            theirs.append(seconds["theirs"])
            worst.append((slowdown(seconds["theirs"], seconds["ours"]).median, path.stem))
    total_ours, total_theirs = ([sum(one) for one in zip(*times, strict=True)] for times in (ours, theirs))
    slowest = ", ".join(f"Q{int(name)} {value:.2f}" for value, name in sorted(worst, reverse=True)[:3])
    return [
        Finding(
            f"TPC-H, 22 queries, warm, total (furthest behind: {slowest})",
            f"{Spread.of(total_ours).show()} s",
            "DuckDB in process, same objects",
            f"{Spread.of(total_theirs).show()} s",
            slowdown(total_theirs, total_ours),
            MARK,
        )
    ]


def same_rows(found: pa.Table, expected: pa.Table) -> bool:
    """Whether two answers have the same columns and the same rows, in any order: queries leave ties open."""
    if found.column_names != expected.column_names or found.num_rows != expected.num_rows:
        return False
    pairs = zip(_sorted_rows(found), _sorted_rows(expected), strict=True)
    return all(_close(one, other) for left, right in pairs for one, other in zip(left, right, strict=True))


def _sorted_rows(table: pa.Table) -> Iterable[tuple[object, ...]]:
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    # Doubles come last, for they may differ in the last digits.
    return sorted(rows, key=lambda row: ([str(one) for one in row if not isinstance(one, float)], str(row)))


def _close(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=TOLERANCE)
    return one == other
