"""Pruning never loses a row: objects that it drops hold none that the engine would find."""

import io
import time
from datetime import UTC, date
from decimal import Decimal
from functools import cache

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog import DatasetWriter, MemoryStore, Predicate, cast_batch, prune, storable_schema
from catalog.bounds import decode, encode_lower, encode_upper
from catalog.model import OBJECTS
from catalog.pruning import LISTED_VALUES

TEXTS = st.text(st.sampled_from("ab\U0010ffff\ud7ff\ue000z"), max_size=36)
VALUES = {
    pa.bool_(): st.booleans(),
    pa.int8(): st.integers(-128, 127),
    pa.uint32(): st.integers(0, 2**32 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float32(): st.floats(width=32) | st.sampled_from([0.0, -0.0, float("nan"), float("inf")]),
    pa.float64(): st.floats() | st.sampled_from([0.0, -0.0, float("nan"), float("-inf")]),
    pa.string(): TEXTS,
    pa.binary(): st.binary(max_size=3) | st.binary(min_size=31, max_size=34) | st.just(b"\xff" * 33),
    pa.date32(): st.dates(),
    pa.timestamp("us"): st.datetimes(),
    pa.timestamp("us", tz="UTC"): st.datetimes(timezones=st.just(UTC)),
    pa.time64("us"): st.times(),
    pa.decimal128(9, 2): st.decimals(-9_999_999, 9_999_999, places=2),
    pa.decimal128(18, 0): st.integers(-(10**18) + 1, 10**18 - 1).map(Decimal),
    pa.decimal128(38, 3): st.decimals(-(10**20), 10**20, places=3),
}
OPERATORS = ["=", "<", "<=", ">", ">=", "in", "is_null", "is_not_null"]


def write(schema: pa.Schema, store: MemoryStore, rows: list[list]) -> pa.Table:
    """Write each list of values of column x as one object."""
    tables = []
    for values in rows:
        with DatasetWriter(store, "d", 0, schema) as writer:
            writer.write(cast_batch(pa.record_batch([pa.array(values, schema.field("x").type)], ["x"]), schema))
            tables.append(writer.close())
    return pa.concat_tables(tables)


def objects_with_matches(store: MemoryStore, objects: pa.Table, condition: str, values: pa.Array) -> set[str]:
    connection = engine()
    connection.register("v", pa.table({"v": values}))
    found = set()
    for key in objects["key"].to_pylist():
        connection.register("t", pq.read_table(io.BytesIO(store.get(key).data)))
        ((count,),) = connection.execute(f"SELECT count(*) FROM t WHERE {condition}").fetchall()
        found |= {key} if count else set()
    return found


@cache
def engine() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_every_object_with_a_matching_row_survives(data):
    kind = data.draw(st.sampled_from(list(VALUES)))
    operator = data.draw(st.sampled_from(OPERATORS))
    value = VALUES[kind]
    rows = data.draw(st.lists(st.lists(st.none() | value, min_size=1, max_size=4), min_size=1, max_size=4))
    known = [v for group in rows for v in group if v is not None]
    wanted = st.sampled_from(known) | value if known else value
    size = {"in": (1, 3), "is_null": (0, 0), "is_not_null": (0, 0)}.get(operator, (1, 1))
    values = pa.array(data.draw(st.lists(wanted, min_size=size[0], max_size=size[1])), kind)
    store, schema = MemoryStore(), storable_schema(pa.schema([("x", kind)]))
    objects = write(schema, store, rows)
    kept = set(prune(objects, schema, [Predicate("x", operator, values)])["key"].to_pylist())
    condition = {
        "in": "x IN (SELECT v FROM v)",
        "is_null": "x IS NULL",
        "is_not_null": "x IS NOT NULL",
    }.get(operator, f"x {operator} (SELECT v FROM v)")
    assert objects_with_matches(store, objects, condition, values) <= kept


def kept(rows: list[list], kind: pa.DataType, operator: str, values: pa.Array) -> list[int]:
    schema = storable_schema(pa.schema([("x", kind)]))
    objects = write(schema, MemoryStore(), rows)
    survivors = prune(objects, schema, [Predicate("X", operator, values)])["key"].to_pylist()
    return [objects["key"].to_pylist().index(key) for key in survivors]


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("=", [5], [0, 1]),
        ("=", [7], [1]),
        ("=", [10], []),
        ("<", [1], []),
        ("<", [2], [0]),
        ("<=", [1], [0]),
        (">", [9], []),
        (">", [8], [1]),
        (">=", [9], [1]),
        ("in", [0, 7, 100], [1]),
        ("in", list(range(100, 100 + 2 * LISTED_VALUES)), []),
        ("in", list(range(9, 9 + 2 * LISTED_VALUES)), [1]),
        ("is_null", [], [1, 2]),
        ("is_not_null", [], [0, 1]),
    ],
)
def test_objects_without_a_match_are_dropped(operator, values, expected):
    rows = [[1, 5], [5, None, 9], [None, None]]
    assert kept(rows, pa.int64(), operator, pa.array(values, pa.int64())) == expected


@pytest.mark.parametrize(
    ("kind", "low", "high", "wanted"),
    [
        (pa.bool_(), False, False, True),
        (pa.string(), "a", "b", "c"),
        (pa.string(), "a" * 40, "b" * 40, "b" * 30 + "c"),
        (pa.binary(), b"a", b"b", b"\xff"),
        (pa.float32(), 1.5, 2.5, 3.5),
        (pa.date32(), date(2024, 1, 1), date(2024, 1, 31), date(2024, 2, 1)),
        (pa.timestamp("us"), 1, 2, 3),
        (pa.decimal128(5, 2), Decimal("-1.00"), Decimal("1.00"), Decimal("1.01")),
        (pa.decimal128(38, 2), Decimal("-1.00"), Decimal("1.00"), Decimal("-1.01")),
        (pa.uint64(), 2**63, 2**64 - 1, 1),
    ],
    ids=str,
)
def test_every_type_with_an_order_prunes(kind, low, high, wanted):
    assert kept([[low, high]], kind, "=", pa.array([wanted], kind)) == []
    assert kept([[low, high]], kind, "=", pa.array([high], kind)) == [0]


def test_a_nan_is_above_every_number():
    assert kept([[1.0, float("nan")], [1.0]], pa.float64(), ">", pa.array([5.0])) == [0]
    assert kept([[1.0, float("nan")], [1.0]], pa.float64(), "<", pa.array([1.0])) == []


@pytest.mark.parametrize(
    "values",
    [pa.array(["1"]), pa.array([1.5]), pa.array([None], pa.int64()), pa.array([True]), pa.array([2**40]), pa.nulls(1)],
    ids=lambda values: str(values.type),
)
def test_what_is_compared_across_types_prunes_nothing(values):
    assert kept([[5, 6]], pa.int32(), "=", values) == [0]


def test_an_unknown_column_a_nested_one_and_no_predicate_prune_nothing():
    schema = storable_schema(pa.schema([("x", pa.list_(pa.int64()))]))
    objects = write(schema, MemoryStore(), [[[1]]])
    for column in ("x", "y"):
        assert prune(objects, schema, [Predicate(column, "is_null", pa.nulls(0))]).num_rows == 1
    assert prune(objects, schema, []) is objects


@pytest.mark.parametrize(
    ("low", "high"), [(None, None), (b"", b""), (b"\1", b"\1\2\3"), (None, b"\0" * 9), (b"\0" * 16, b"\0" * 4)]
)
@pytest.mark.parametrize("operator", ["=", "<", ">", "in"])
def test_bounds_that_are_missing_or_malformed_prune_nothing(low, high, operator):
    schema = storable_schema(pa.schema([("x", pa.int64())]))
    row = {name: 1 if pa.types.is_integer(OBJECTS.field(name).type) else "k" for name in OBJECTS.names}
    unknown = {"field_id": 1, "null_count": None, "min": low, "max": high, "exact": True}
    for statistics in ([unknown], []):
        objects = pa.Table.from_pylist([row | {"statistics": statistics}], schema=OBJECTS)
        assert prune(objects, schema, [Predicate("x", operator, pa.array([7]))]).num_rows == 1


@given(st.lists(st.none() | st.integers(-(10**38) + 1, 10**38 - 1), max_size=20))
def test_decimals_of_any_length_are_decoded(unscaled):
    kind = pa.decimal128(38, 0)
    bounds = pa.array([None if v is None else encode_lower(v, kind)[0] for v in unscaled], pa.binary())
    assert decode(bounds, kind).to_pylist() == [None if v is None else Decimal(v) for v in unscaled]


@given(st.text(), st.text())
def test_a_cut_text_still_bounds(left, right):
    low, high = sorted([left.encode(), right.encode()])
    lower, _ = encode_lower(low, pa.string())
    upper, _ = encode_upper(high, pa.string())
    assert lower <= low
    assert upper is None or (high <= upper and len(upper.decode()) <= 32)


def test_ten_thousand_objects_are_pruned_at_once():
    """A guard against a Python loop over objects, not a benchmark: the mark is 15 ms on a quiet machine."""
    columns, count = 20, 10_000
    schema = storable_schema(pa.schema([(f"c{i}", pa.int64()) for i in range(columns)]))
    objects = many_objects(count, columns)
    predicate = Predicate("c7", "=", pa.array([5_000]))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        result = prune(objects, schema, [predicate])
        times.append(time.perf_counter() - start)
    assert result.num_rows == 1
    assert min(times) < 0.1


def many_objects(count: int, columns: int) -> pa.Table:
    """Return objects whose n-th holds just the value n in each column."""
    raw = np.repeat(np.arange(count, dtype="<i8"), columns)
    bounds = pa.Array.from_buffers(pa.binary(8), len(raw), [None, pa.py_buffer(raw)]).cast(pa.binary())
    ids = pa.array(np.tile(np.arange(1, columns + 1, dtype=np.int32), count))
    nulls = pa.array(np.zeros(len(raw), np.int64))
    exact = pa.array(np.ones(len(raw), bool))
    fields = list(OBJECTS.field("statistics").type.value_type)
    entries = pa.StructArray.from_arrays([ids, nulls, bounds, bounds, exact], fields=fields)
    offsets = pa.array(np.arange(0, len(raw) + 1, columns, dtype=np.int32))
    statistics = pa.ListArray.from_arrays(offsets, entries, type=OBJECTS.field("statistics").type)
    plain = [
        pa.array([f"k{i}" for i in range(count)]) if pa.types.is_string(f.type) else pa.array(np.ones(count), f.type)
        for f in OBJECTS
        if f.name != "statistics"
    ]
    return pa.Table.from_arrays([*plain, statistics], schema=OBJECTS)


def test_several_predicates_and_chunks_of_objects_are_all_respected():
    schema = storable_schema(pa.schema([(f"c{i}", pa.int64()) for i in range(2)]))
    objects = pa.concat_tables([many_objects(100, 2).slice(0, 50), many_objects(100, 2).slice(50)])
    low, high = (Predicate("c0", ">=", pa.array([48])), Predicate("c1", "<", pa.array([52])))
    assert prune(objects, schema, [low, high])["key"].to_pylist() == ["k48", "k49", "k50", "k51"]
