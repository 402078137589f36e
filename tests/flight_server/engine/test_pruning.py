"""Objects that a query cannot need are not read, and nobody can tell from the answer."""

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest

from .conftest import Querying, SmallLake

OBJECTS = 8
ROWS = 50


def slice_of(number: int, chance: random.Random) -> pa.Table:
    """Rows of one object; most columns rise from object to object, with nulls among them."""

    def some(values: list) -> list:
        return [None if chance.random() < 0.1 else value for value in values]

    base = [number * ROWS + row for row in range(ROWS)]
    epoch = datetime(2020, 1, 1, tzinfo=UTC)
    return pa.table(
        {
            "i": pa.array(some(base), pa.int32()),
            "u": pa.array(some(base), pa.uint64()),
            "f": pa.array(
                some([value / 7 if chance.random() > 0.02 else float("nan") for value in base]), pa.float64()
            ),
            "d": pa.array(some([Decimal(value) / 4 for value in base]), pa.decimal128(12, 2)),
            "s": pa.array(some([f"w{value:05d}" for value in base])),
            "day": pa.array(some([date(2020, 1, 1) + timedelta(days=value) for value in base])),
            "moment": pa.array(some([epoch + timedelta(hours=value) for value in base]), pa.timestamp("us", "UTC")),
            "ns": pa.array(some(base), pa.timestamp("ns")),
            "b": pa.array(some([number % 2 == 0] * ROWS)),
            "same": pa.array([number] * ROWS),
            "hole": pa.array([None] * ROWS if number % 3 == 0 else base, pa.int64()),
        }
    )


@pytest.fixture(scope="module")
def big() -> SmallLake:
    """A dataset of eight objects."""
    small = SmallLake("lake")
    small.put("big", *(slice_of(number, random.Random(number)) for number in range(OBJECTS)))
    for name, start in (("left", 0), ("right", 100)):
        rows = [range(start + number * 10, start + number * 10 + 10) for number in range(OBJECTS)]
        small.put(name, *(pa.table({"i": part, "st": [{"q": i, "z": 1} for i in part]}) for part in rows))
    small.put("other", *(pa.table({"i": [number], "x": [number]}) for number in range(OBJECTS)))
    return small


@pytest.fixture
def pruned(engines, big) -> Querying:
    big.reader.keys.clear()
    return Querying(engines(prune_min_objects=2), big)


@pytest.fixture
def unpruned(engines, big) -> Querying:
    return Querying(engines(prune_min_objects=1_000_000), big)


READS = {
    "SELECT * FROM big WHERE i = 120": 1,
    "SELECT * FROM big WHERE i IN (1, 399)": 2,
    "SELECT * FROM big WHERE i < 60": 2,
    "SELECT * FROM big WHERE i BETWEEN 100 AND 149": 1,
    "SELECT * FROM big WHERE s = 'w00120'": 1,
    "SELECT * FROM big WHERE s LIKE 'w0012%'": 1,
    "SELECT * FROM big WHERE day >= '2021-01-10'": 1,
    "SELECT * FROM big WHERE moment < '2020-01-02 00:00:00+00'": 1,
    "SELECT * FROM big WHERE d > 90.00": 1,
    "SELECT * FROM big WHERE same = 3 AND i < 0": 1,
    "SELECT count(*) FROM big WHERE i = 120": 1,
    "SELECT * FROM big WHERE i = 120 UNION ALL SELECT * FROM big WHERE i = 170": 8,
    "SELECT * FROM big, other WHERE big.i = 3 AND other.x = 3": 2,
    "SELECT * FROM big WHERE i = -1": 1,
}


@pytest.mark.parametrize("sql", READS)
def test_only_the_objects_that_may_hold_a_row_are_read(pruned, sql):
    pruned.engine.plan(sql, None, pruned.scope())
    with pruned.engine.execute(sql, None, pruned.scope()) as stream:
        # The first object of each dataset was opened to learn its columns.
        first = len({key.split("/")[1] for key in pruned.lakes[0].reader.keys})
        list(stream)
    assert len(pruned.lakes[0].reader.keys) <= READS[sql] + first


ELSEWHERE = [
    "SELECT count(*) FROM left WHERE st.q = 50 OR i IN (SELECT i FROM right WHERE i > 10000)",
    "SELECT sum(left.st.q), count(right.i) FROM left, right WHERE right.i = 103",
    "SELECT (SELECT sum(st.q) FROM left), (SELECT count(i) FROM right WHERE i > 160)",
    "WITH w AS (FROM left) SELECT (SELECT count(*) FROM w WHERE i >= 60), (SELECT sum(st.q) FROM w)",
    "WITH w AS (FROM left) SELECT (SELECT count(*) FROM w), (SELECT sum(st.q) FROM w WHERE i >= 60)",
    "SELECT * FROM (SELECT i, count(*) OVER () FROM left) WHERE i >= 70 ORDER BY ALL",
    "SELECT * FROM (SELECT i, sum(st.q) OVER () FROM left) WHERE i >= 70 ORDER BY ALL",
    "SELECT max(i), (SELECT count(*) FROM right) FROM left WHERE i < 10",
    "SELECT count(*) FROM left, right WHERE left.i = right.i - 100 AND right.i > 160",
    "SELECT i FROM left WHERE i > 60 AND EXISTS (FROM right WHERE right.st.q = left.st.q + 100) ORDER BY ALL",
]


@pytest.mark.parametrize("sql", [sql.replace("left", '"left"').replace("right", '"right"') for sql in ELSEWHERE])
def test_a_filter_never_prunes_a_dataset_that_it_does_not_belong_to(pruned, unpruned, sql):
    assert pruned.rows(sql) == unpruned.rows(sql)


CONDITIONS = [
    "i = {n}", "i < {n}", "i >= {n}", "i IN ({n}, {m})", "NOT (i > {n})", "i <> {n}", "i IS NULL", "i IS NOT NULL",
    "u = {n}", "u > {n}", "f > {n}", "f <= {n} / 7", "f = 'nan'::DOUBLE", "f >= 10", "f < 10", "f IN (1.0, 20.0)",
    "d = {n}", "d < {n}.25", "s = 'w{n:05d}'", "s > 'w{n:05d}'", "s LIKE 'w00{k}%'", "s ILIKE 'W000%'",
    "day = DATE '2020-01-01' + {n}", "day > '2020-06-01'", "moment < TIMESTAMPTZ '2020-01-05 00:00:00+00'",
    "ns > TIMESTAMP_NS '1970-01-01 00:00:00.000000{n:03d}'", "b", "NOT b", "b IS NULL", "b = true", "same = {k}",
    "same IN ({k}, 2)", "hole = {n}", "hole IS NULL", "i + 1 = {n}", "i = {n} OR same = {k}", "i > 2.5", "i % 7 = 1",
    "i IN (SELECT x FROM other WHERE x < {k})", "i > (SELECT max(x) FROM other)", "s = E'w\\n(i = {n})\\nx'",
    "s <> 'x\n(i = {n})\ny'", "(i, same) IN (({n}, {k}), ({m}, 1))", "i IS NOT DISTINCT FROM {n}",
]  # fmt: skip
SHAPES = [
    "SELECT * FROM big WHERE {a} AND {b} ORDER BY ALL",
    "SELECT * FROM big WHERE {a} OR {b} ORDER BY ALL",
    "SELECT count(*), sum(i), max(s) FROM big WHERE {a}",
    "SELECT (SELECT count(*) FROM big), count(*) FROM big WHERE {a}",
    "SELECT (SELECT min(i) FROM big), (SELECT max(i) FROM big WHERE {b}), count(*) FROM big WHERE {a}",
    "SELECT count(*) FROM (SELECT * FROM big WHERE {a}) AS l LEFT JOIN (SELECT * FROM big WHERE {b}) AS r ON l.i = r.i",
    "WITH p AS (SELECT * FROM big WHERE {a}), q AS (FROM p WHERE {b}) SELECT (SELECT count(*) FROM p), count(*) FROM q",
    "SELECT * FROM big WHERE {a} EXCEPT SELECT * FROM big WHERE {b} ORDER BY ALL",
    "SELECT * FROM big WHERE {a} ORDER BY i DESC NULLS LAST, s LIMIT 3",
    "SELECT same, count(*) FROM big WHERE {a} GROUP BY same HAVING count(*) > 1 ORDER BY ALL",
    "SELECT * FROM other WHERE EXISTS (FROM big WHERE big.i = other.i AND {a}) ORDER BY ALL",
]


@pytest.mark.parametrize("seed", range(60))
def test_pruning_never_changes_an_answer(pruned, unpruned, seed):
    chance = random.Random(seed)

    def condition() -> str:
        return chance.choice(CONDITIONS).format(n=chance.randrange(420), m=chance.randrange(420), k=chance.randrange(9))

    sql = chance.choice(SHAPES).format(a=condition(), b=condition())
    assert pruned(sql).to_pydict().__repr__() == unpruned(sql).to_pydict().__repr__(), sql


def test_parameters_prune_too(pruned):
    assert pruned.rows("SELECT s FROM big WHERE i = ?", 122) == [("w00122",)]
    assert len(pruned.lakes[0].reader.keys) <= 2


def test_a_text_with_line_breaks_cannot_pose_as_a_filter(pruned):
    text = "x\n(i = 1)\ny"
    assert pruned.rows("SELECT count(i) FROM big WHERE s <> ?", text) == [(pruned.rows(
        "SELECT count(i) FROM big WHERE s IS NOT NULL")[0][0],)]  # fmt: skip


def test_long_lists_and_texts_are_understood_or_ignored(pruned, unpruned):
    numbers = ", ".join(str(number) for number in range(0, 4000, 3))
    for sql in (
        f"SELECT count(*) FROM big WHERE i IN ({numbers})",
        f"SELECT count(*) FROM big WHERE s <> '{'x' * 5000}' AND i > 300",
    ):
        assert pruned.rows(sql) == unpruned.rows(sql)
