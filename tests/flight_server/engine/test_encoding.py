"""What rows look like when they leave the engine."""

import json
from decimal import Decimal

import pyarrow as pa
import pytest

from catalog import LakehouseError

STREAM_TYPES = {
    "1::HUGEINT": (pa.decimal128(38, 0), Decimal(1)),
    "340282366920938463463374607431768211455::UHUGEINT": (pa.string(), "340282366920938463463374607431768211455"),
    "123456789012345678901234567890123456789012::BIGNUM": (pa.string(), "123456789012345678901234567890123456789012"),
    "'101'::BIT": (pa.string(), "101"),
    "'b'::ENUM('a', 'b')": (pa.string(), "b"),
    "['b'::ENUM('a', 'b')]": (None, ["b"]),
    "{'x': 'b'::ENUM('a', 'b'), 'y': 1}": (None, {"x": "b", "y": 1}),
    "MAP {'k': 'b'::ENUM('a', 'b')}": (None, [("k", "b")]),
    "'12:00:00+02'::TIMETZ": (pa.string(), "12:00:00+02"),
    "'00000000-0000-0000-0000-000000000001'::UUID": (pa.string(), "00000000-0000-0000-0000-000000000001"),
    "union_value(a := 1)": (pa.string(), "1"),
    "1::VARIANT": (pa.string(), "1"),
    "NULL": (pa.null(), None),
    "'{\"a\": 1}'::JSON": (pa.string(), '{"a": 1}'),
}

JSON_VALUES = {
    "9223372036854775807": "9223372036854775807",
    "170141183460469231731687303715884105727::HUGEINT": "170141183460469231731687303715884105727",
    "12345678901234567890.12::DECIMAL(38,2)": "12345678901234567890.12",
    "1234567890123456.78::DECIMAL(18,2)": "1234567890123456.78",
    "0.1::DOUBLE": "0.1",
    "'nan'::DOUBLE": "null",
    "'-inf'::FLOAT": "null",
    "['nan'::DOUBLE, 1]": "[null,1.0]",
    "{'x': 'inf'::DOUBLE}": '{"x":null}',
    "NULL::STRUCT(x DOUBLE)": "null",
    "MAP {'k': 'nan'::DOUBLE}": '{"k":null}',
    "[['nan'::DOUBLE]]": "[[null]]",
    "TIMESTAMP '2020-01-02 03:04:05.6'": '"2020-01-02T03:04:05.6"',
    "TIMESTAMPTZ '2020-01-02 03:04:05+00'": '"2020-01-02T03:04:05Z"',
    "[TIMESTAMP '2020-01-02 03:04:05']": '["2020-01-02T03:04:05"]',
    "DATE '2020-01-02'": '"2020-01-02"',
    "TIME '01:02:03'": '"01:02:03"',
    "INTERVAL '1 month 2 days'": '"1 month 2 days"',
    "'\\x00\\xFF'::BLOB": '"AP8="',
    "['\\x00'::BLOB]": '["AA=="]',
    "'a\"b\nc'": '"a\\"b\\nc"',
    "true": "true",
    "NULL": "null",
    "'b'::ENUM('a', 'b')": '"b"',
    "'101'::BIT": '"101"',
    "[1, NULL]": "[1,null]",
    "MAP {1: 2}": '{"1":2}',
    "'{\"a\": 1}'::JSON": '{"a":1}',
    "[1, 2]::INTEGER[2]": "[1,2]",
    "['nan'::DOUBLE]::DOUBLE[1]": "[null]",
}


@pytest.mark.parametrize("expression", STREAM_TYPES)
def test_types_without_an_agreed_arrow_form_are_cast(query, expression):
    table = query(f"SELECT {expression} AS v")
    kind, value = STREAM_TYPES[expression]
    assert kind is None or table.schema.field("v").type == kind
    assert not pa.types.is_dictionary(table.schema.field("v").type)
    assert table["v"][0].as_py() == value


@pytest.mark.parametrize("expression", JSON_VALUES)
def test_json_is_exact(query, expression):
    line = query(f"SELECT {expression} AS v", text="ndjson")["ndjson"][0].as_py()
    assert line == f'{{"v":{JSON_VALUES[expression]}}}\n'


def test_json_null_rows_stay_null(query):
    sql = "SELECT * FROM (VALUES ({'x': 1.5::DOUBLE}, ['nan'::DOUBLE]), (NULL, NULL)) AS t(a, b)"
    lines = query(sql, text="ndjson")["ndjson"].to_pylist()
    assert lines == ['{"a":{"x":1.5},"b":[null]}\n', '{"a":null,"b":null}\n']


def test_each_json_value_is_a_separator_and_an_object(query):
    parts = query("SELECT n FROM numbers ORDER BY n LIMIT 2", text="json")["json"].to_pylist()
    assert parts == [',\n{"n":0}', ',\n{"n":1}']


def test_repeated_names_are_numbered_in_json_and_keep_their_order(query):
    line = query('SELECT 1 AS b, 2 AS a, 3 AS a, 4 AS A, 5 AS "x y"', text="ndjson")["ndjson"][0].as_py()
    assert list(json.loads(line).items()) == [("b", 1), ("a", 2), ("a_1", 3), ("A_2", 4), ("x y", 5)]


def test_explain_has_a_text_form_too(query):
    line = query("EXPLAIN SELECT 1", text="ndjson")["ndjson"][0].as_py()
    assert json.loads(line)["explain_key"] == "physical_plan"


def test_an_unknown_text_format_is_refused(query):
    with pytest.raises(LakehouseError, match="unknown_format"):
        query("SELECT 1", text="yaml")


def test_an_integer_sum_beyond_38_digits_is_an_error_not_a_wrong_number(query):
    with pytest.raises(LakehouseError, match="conversion_error"):
        query("SELECT 170141183460469231731687303715884105727::HUGEINT")
    assert query("SELECT sum(n) AS s FROM numbers").schema.field("s").type == pa.decimal128(38, 0)


def test_order_survives_the_casts(query):
    table = query("SELECT n, 'a'::ENUM('a') AS e FROM range(300000) AS t(n) ORDER BY n DESC")
    assert table["n"][0].as_py() == 299999
    assert table["n"][-1].as_py() == 0


DATASET_TYPES = {
    "bool": pa.array([True, None]),
    "i8": pa.array([-1, None], pa.int8()),
    "u64": pa.array([2**64 - 1, None], pa.uint64()),
    "f32": pa.array([1.5, None], pa.float32()),
    "text": pa.array(["é", None]),
    "bytes": pa.array([b"\0", None]),
    "day": pa.array([0, None], pa.date32()),
    "money": pa.array([Decimal("1.50"), None], pa.decimal128(38, 2)),
    "time_us": pa.array([1, None], pa.time64("us")),
    "time_ns": pa.array([1, None], pa.time64("ns")),
    "ts_us": pa.array([1, None], pa.timestamp("us")),
    "ts_ns": pa.array([1, None], pa.timestamp("ns")),
    "utc_us": pa.array([1, None], pa.timestamp("us", "UTC")),
    "utc_ns": pa.array([1, None], pa.timestamp("ns", "UTC")),
    "span": pa.array([(1, -2, 3000), None], pa.month_day_nano_interval()),
    "nothing": pa.nulls(2),
    "listed": pa.array([[1, None], None], pa.list_(pa.int16())),
    "fixed": pa.array([[1, 2], None], pa.list_(pa.int32(), 2)),
    "nested_fixed": pa.array([{"v": [[1.0, 2.0]]}, None], pa.struct([("v", pa.list_(pa.list_(pa.float32(), 2)))])),
    "record": pa.array([{"a b": 1, 'c"d': "x"}, None], pa.struct([("a b", pa.int8()), ('c"d', pa.string())])),
    "dictionary": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
}


@pytest.mark.parametrize("name", DATASET_TYPES)
def test_a_column_comes_out_with_the_type_that_it_went_in_with(query, lake, name):
    values = DATASET_TYPES[name]
    lake.put("typed", pa.table({name: values}))
    column = query("SELECT * FROM typed")[name]
    assert column.to_pylist() == values.to_pylist()
    assert same_but_for_names_of_items(column.type, values.type)


def same_but_for_names_of_items(left: pa.DataType, right: pa.DataType) -> bool:
    """Compare types; DuckDB names the items of its lists in its own way."""
    if left.num_fields == 0 or right.num_fields == 0:
        return left == right
    pairs = zip(range(left.num_fields), range(right.num_fields), strict=True)
    return (
        left.id == right.id
        and getattr(left, "list_size", None) == getattr(right, "list_size", None)
        and all(same_but_for_names_of_items(left.field(i).type, right.field(j).type) for i, j in pairs)
    )
