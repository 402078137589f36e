"""Parameters are values, and lose nothing."""

from datetime import date
from decimal import Decimal

import pyarrow as pa
import pytest

from catalog import LakehouseError

VALUES = {
    "bool": pa.array([True]),
    "int8": pa.array([-128], pa.int8()),
    "uint64": pa.array([2**64 - 1], pa.uint64()),
    "float": pa.array([1.5], pa.float32()),
    "text": pa.array(["it's \n é"]),
    "bytes": pa.array([b"\0\xff"]),
    "date": pa.array([date(9999, 12, 31)]),
    "decimal": pa.array([Decimal("12345678901234567890123456789012.123456")], pa.decimal128(38, 6)),
    "time_us": pa.array([86_399_999_999], pa.time64("us")),
    "time_ns": pa.array([86_399_999_999_999], pa.time64("ns")),
    "ts_us": pa.array([253_402_300_799_999_999], pa.timestamp("us")),
    "ts_ns": pa.array([9_000_000_000_000_000_001], pa.timestamp("ns")),
    "ts_utc": pa.array([253_402_300_799_999_999], pa.timestamp("us", "UTC")),
    "ts_utc_ns": pa.array([-1], pa.timestamp("ns", "UTC")),
    "interval": pa.array([(1, -2, 3000)], pa.month_day_nano_interval()),
    "list": pa.array([[1, None, 3]], pa.list_(pa.int64())),
    "struct": pa.array([{"a": 1, "b": "x"}]),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_comes_back_as_it_was_bound(query, name):
    column = query("SELECT ? AS v", VALUES[name])["v"]
    assert name == "list" or column.type == VALUES[name].type
    assert column.cast(VALUES[name].type).combine_chunks().equals(VALUES[name])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (pa.array(["x"]).dictionary_encode(), "x"),
        (pa.array(["x"], pa.large_string()), "x"),
        (pa.array(["x"], pa.string_view()), "x"),
        (pa.array([5], pa.timestamp("ms", "Europe/Berlin")), 5000),
        (pa.array([5], pa.time32("ms")), 5000),
        (pa.array([1.5], pa.float16()), 1.5),
        (pa.nulls(1), None),
    ],
)
def test_other_encodings_are_understood(query, value, expected):
    result = query("SELECT ? AS v", value)["v"]
    plain = result.cast(pa.int64()) if pa.types.is_temporal(result.type) else result
    assert plain[0].as_py() == expected


def test_positional_numbered_and_named_parameters(query):
    assert query.rows("SELECT ?, ?", 1, "a") == [(1, "a")]
    assert query.rows("SELECT $2, $1, $2", 1, "a") == [("a", 1, "a")]
    assert query.rows("SELECT $first, $second, $first", 1, "a") == [(1, "a", 1)]


def test_a_query_runs_once_per_row_of_parameters(query):
    rows = pa.array([3, None, 7], pa.int64())
    assert query.rows("SELECT n, ? AS p FROM numbers WHERE n = ?", rows, rows) == [(3, 3), (7, 7)]
    assert query.rows("SELECT ? AS p", rows) == [(3,), (None,), (7,)]
    assert query.rows("SELECT ? AS p", rows.slice(0, 0)) == []


def test_the_number_of_parameters_must_fit(query):
    with pytest.raises(LakehouseError, match="parameter_count: The statement has 2 parameters, and 1 was given"):
        query("SELECT ?, ?", 1)
    with pytest.raises(LakehouseError, match="parameter_count"):
        query("SELECT 1", 1)
    with pytest.raises(LakehouseError, match="The statement has 1 parameter, and 0 were given"):
        query("SELECT ?")


def test_a_query_with_unbound_parameters_can_be_planned(query):
    plan = query.engine.plan("SELECT n, ? AS p FROM numbers WHERE word = ?", None, query.scope())
    assert plan.schema.names == ["n", "p"]
    assert plan.parameter_schema == pa.schema([("1", pa.null()), ("2", pa.string())])


def test_parameter_types_are_inferred_from_casts_columns_and_limits(query):
    sql = """
        SELECT ?::DATE FROM numbers WHERE n BETWEEN ? AND ? AND word LIKE ? AND word IN (?, ?) AND ? < n
        LIMIT ? OFFSET ?
    """
    integer, text = pa.int64(), pa.string()
    kinds = [pa.date32(), integer, integer, text, text, text, integer, integer, integer]
    assert query.engine.plan(sql, None, query.scope()).parameter_schema.types == kinds
    assert query.engine.parse(sql).parameter_count == len(kinds)
