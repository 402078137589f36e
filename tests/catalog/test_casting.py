"""An append changes no value: it fits the dataset's schema exactly or is refused as a whole."""

from contextlib import suppress
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog import ErrorKind, LakehouseError, WriterSettings, cast_batch, check_castable, storable_schema

UTC = "UTC"


def dataset(**kinds: pa.DataType | pa.Field) -> pa.Schema:
    fields = [
        kind.with_name(name) if isinstance(kind, pa.Field) else pa.field(name, kind) for name, kind in kinds.items()
    ]
    return storable_schema(pa.schema(fields))


def batch(**columns: pa.Array) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def refusal(rows: pa.RecordBatch, schema: pa.Schema, limits: WriterSettings | None = None) -> LakehouseError:
    with pytest.raises(LakehouseError) as caught:
        cast_batch(rows, schema, *([limits] if limits else []))
    return caught.value


EXACT = [
    (pa.array([1, None], pa.int32()), pa.int64()),
    (pa.array([-128, None], pa.int64()), pa.int8()),
    (pa.array([2**63 - 1, None], pa.int64()), pa.uint64()),
    (pa.array([2**53, None], pa.int64()), pa.float64()),
    (pa.array([0.5, None, float("nan"), float("-inf")], pa.float64()), pa.float32()),
    (pa.array([0.1, None], pa.float32()), pa.float64()),
    (pa.array([2**64 - 1, None], pa.uint64()), pa.decimal128(22, 2)),
    (pa.array([5, None], pa.int64()), pa.decimal128(3, 2)),
    (pa.array([Decimal("1.50"), None]), pa.decimal128(2, 1)),
    (pa.array([Decimal("1.5"), None]), pa.decimal128(38, 30)),
    (pa.array([1000, None], pa.timestamp("ns")), pa.timestamp("us")),
    (pa.array([1, None], pa.timestamp("us")), pa.timestamp("ns")),
    (pa.array([1, None], pa.timestamp("s", "Asia/Tokyo")), pa.timestamp("ns", UTC)),
    (pa.array([1000, None], pa.time64("ns")), pa.time64("us")),
    (pa.array(["a", None], pa.large_string()), pa.string()),
    (pa.array(["a", None]).dictionary_encode(), pa.string()),
    (pa.nulls(2), pa.int64()),
    (pa.nulls(2), pa.struct([("a", pa.list_(pa.int8()))])),
    (pa.array([[1], None], pa.large_list(pa.int64())), pa.list_(pa.int8())),
    (pa.array([{"B": 1, "a": "x"}, None]), pa.struct([("a", pa.string()), ("b", pa.int8())])),
]
IMPOSSIBLE = [
    (pa.float64(), pa.int64()),
    (pa.string(), pa.int64()),
    (pa.int64(), pa.string()),
    (pa.bool_(), pa.int8()),
    (pa.int8(), pa.bool_()),
    (pa.string(), pa.binary()),
    (pa.binary(), pa.string()),
    (pa.decimal128(5, 0), pa.int64()),
    (pa.decimal128(5, 2), pa.float64()),
    (pa.float64(), pa.decimal128(5, 2)),
    (pa.timestamp("us"), pa.timestamp("us", UTC)),
    (pa.timestamp("us", UTC), pa.timestamp("us")),
    (pa.timestamp("us"), pa.date32()),
    (pa.date32(), pa.timestamp("us")),
    (pa.string(), pa.date32()),
    (pa.int64(), pa.null()),
    (pa.int64(), pa.list_(pa.int64())),
    (pa.list_(pa.int64()), pa.int64()),
    (pa.list_(pa.int64()), pa.list_(pa.string())),
    (pa.list_(pa.int64(), 2), pa.list_(pa.int64(), 3)),
    (pa.struct([("a", pa.int8())]), pa.struct([("a", pa.int8()), ("b", pa.int8())])),
    (pa.map_(pa.string(), pa.int8()), pa.list_(pa.int8())),
]
INEXACT = [
    (pa.array([128], pa.int64()), pa.int8()),
    (pa.array([-1], pa.int64()), pa.uint64()),
    (pa.array([2**53 + 1], pa.int64()), pa.float64()),
    (pa.array([0.1], pa.float64()), pa.float32()),
    (pa.array([1e300], pa.float64()), pa.float32()),
    (pa.array([5], pa.int64()), pa.decimal128(2, 2)),
    (pa.array([Decimal("1.55")]), pa.decimal128(3, 1)),
    (pa.array([Decimal("10.0")]), pa.decimal128(2, 1)),
    (pa.array([1001], pa.timestamp("ns")), pa.timestamp("us")),
    (pa.array([2**62], pa.timestamp("us")), pa.timestamp("ns")),
    (pa.array([1], pa.time64("ns")), pa.time64("us")),
    (pa.array([(0, 0, 1)], pa.month_day_nano_interval()), pa.month_day_nano_interval()),
    (pa.array([1], pa.duration("ns")), pa.month_day_nano_interval()),
    (pa.array([2**62], pa.duration("us")), pa.month_day_nano_interval()),
    (pa.array([[1], [300]]), pa.list_(pa.int8())),
    (pa.array([{"a": 300}]), pa.struct([("a", pa.int8())])),
]


@pytest.mark.parametrize(("array", "kind"), EXACT, ids=lambda item: str(getattr(item, "type", item)))
def test_values_that_stay_what_they_are_are_cast(array, kind):
    schema = dataset(x=kind)
    rows = cast_batch(batch(x=array), schema)
    assert rows.schema.equals(schema, check_metadata=True)
    assert rows["x"].null_count == array.null_count
    if pa.types.is_temporal(kind):
        assert rows["x"].cast(array.type).equals(array)
    elif not pa.types.is_nested(kind):
        assert [str(float(v)) if isinstance(v, (int, float, Decimal)) else v for v in rows["x"].to_pylist()] == [
            str(float(v)) if isinstance(v, (int, float, Decimal)) else v for v in array.to_pylist()
        ]


@pytest.mark.parametrize(("source", "kind"), IMPOSSIBLE, ids=str)
def test_another_kind_of_type_is_refused_by_schema_alone(source, kind):
    with pytest.raises(LakehouseError, match="'x'") as caught:
        check_castable(pa.schema([("x", source)]), dataset(x=kind))
    assert (caught.value.kind, caught.value.code) == (ErrorKind.INVALID_ARGUMENT, "schema_mismatch")


@pytest.mark.parametrize(("array", "kind"), INEXACT, ids=lambda item: str(getattr(item, "type", item)))
def test_a_value_that_would_change_is_refused_with_its_column(array, kind):
    check_castable(pa.schema([("x", array.type)]), dataset(x=kind))
    error = refusal(batch(x=array), dataset(x=kind))
    assert error.code == "value_out_of_range"
    assert "'x'" in error.message


def test_columns_are_found_by_name_in_any_order_and_case():
    schema = dataset(a=pa.int8(), b=pa.string())
    rows = cast_batch(batch(B=pa.array(["x"]), a=pa.array([1])), schema)
    assert rows.to_pylist() == [{"a": 1, "b": "x"}]


def test_an_exact_name_wins_over_one_in_another_case():
    error = refusal(batch(a=pa.array([1]), A=pa.array([2])), dataset(a=pa.int8()))
    assert "does not have: 'A'" in error.message


def test_all_missing_unknown_and_wrong_columns_are_named_at_once():
    schema = dataset(a=pa.int8(), b=pa.int8(), c=pa.int8())
    error = refusal(batch(c=pa.array(["x"]), d=pa.array([1]), e=pa.array([1])), schema)
    assert error.code == "schema_mismatch"
    assert error.message == (
        "missing columns: 'a', 'b'; columns that the dataset does not have: 'd', 'e'; "
        "columns of another type: 'c' (string cannot become int8)"
    )


def test_a_column_that_several_match_is_refused():
    assert "several" in refusal(batch(Ab=pa.array([1]), aB=pa.array([1])), dataset(ab=pa.int8())).message


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1, None], pa.int8()),
        pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array([1, None], pa.int8())),
        pa.RunEndEncodedArray.from_arrays(pa.array([1, 2], pa.int16()), pa.array([1, None], pa.int8())),
    ],
    ids=lambda array: str(array.type),
)
def test_a_null_in_a_not_null_column_is_refused_however_it_is_encoded(array):
    schema = dataset(x=pa.field("x", pa.int8(), nullable=False))
    assert refusal(batch(x=array), schema).code == "null_in_not_null_column"
    assert cast_batch(batch(x=array[:1]), schema).num_rows == 1


def test_an_all_null_column_does_not_fit_a_not_null_one():
    schema = dataset(x=pa.field("x", pa.int8(), nullable=False))
    assert refusal(batch(x=pa.nulls(1)), schema).code == "schema_mismatch"


def test_a_batch_that_fits_is_not_copied():
    schema = dataset(x=pa.int64(), s=pa.string())
    rows = batch(x=pa.array([1, 2]), s=pa.array(["a", "b"]))
    result = cast_batch(rows, schema)
    assert [b and b.address for b in result["s"].buffers()] == [b and b.address for b in rows["s"].buffers()]
    assert result["x"].buffers()[1].address == rows["x"].buffers()[1].address


BROKEN = {
    "offsets beyond the text": pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(np.array([0, 1000, 3], np.int32)), pa.py_buffer(b"abc")]
    ),
    "text that is not UTF-8": pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(np.array([0, 2], np.int32)), pa.py_buffer(b"\xff\xff")]
    ),
    "an index beyond the dictionary": pa.DictionaryArray.from_arrays(pa.array([7]), pa.array(["a"]), safe=False),
    "offsets that fall": pa.Array.from_buffers(
        pa.list_(pa.int8()),
        3,
        [None, pa.py_buffer(np.array([0, 2, 1, 2], np.int32))],
        children=[pa.array([1, 2], pa.int8())],
    ),
    "a time beyond the day": pa.array([86_400_000_000]).view(pa.time64("us")),
    "a decimal beyond its precision": pa.Array.from_buffers(
        pa.decimal128(2, 0), 1, [None, pa.py_buffer((1000).to_bytes(16, "little"))]
    ),
}


@pytest.mark.parametrize("array", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_batch_is_refused_before_anything_looks_into_it(array):
    rows = pa.RecordBatch.from_struct_array(pa.StructArray.from_arrays([array], ["x"]))
    schema = storable_schema(rows.schema)
    assert refusal(rows, schema).code == "invalid_batch"


HUGE = 2**30
BOMBS = {
    "nulls that become numbers": (pa.nulls(HUGE), pa.int64()),
    "nulls": (pa.nulls(HUGE), pa.null()),
    "one run of numbers": (pa.RunEndEncodedArray.from_arrays([HUGE], pa.array([1], pa.int64())), pa.int64()),
    "one run of a text": (pa.RunEndEncodedArray.from_arrays([100_000], pa.array(["x" * 10_000])), pa.string()),
    "a dictionary of one text": (
        pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int8)), pa.array(["x" * 10_000])),
        pa.string(),
    ),
    "a dictionary of one viewed text": (
        pa.DictionaryArray.from_arrays(
            pa.array(np.zeros(100_000, np.int8)), pa.array(["x" * 10_000], pa.string_view())
        ),
        pa.string(),
    ),
    "views of one text": (
        pa.Array.from_buffers(
            pa.string_view(),
            100_000,
            [
                None,
                pa.py_buffer(np.tile(np.array([10_000, int.from_bytes(b"xxxx", "little"), 0, 0], np.int32), 100_000)),
                pa.py_buffer(b"x" * 10_000),
            ],
        ),
        pa.string(),
    ),
    "views of one list": (
        pa.ListViewArray.from_arrays(
            np.zeros(10_000, np.int32), np.full(10_000, 10_000, np.int32), pa.array(np.zeros(10_000, np.int64))
        ),
        pa.list_(pa.int64()),
    ),
    "a list of nulls": (pa.ListArray.from_arrays([0, HUGE], pa.nulls(HUGE)), pa.list_(pa.int64())),
}


@pytest.mark.parametrize(("array", "kind"), BOMBS.values(), ids=BOMBS.keys())
def test_a_few_bytes_that_stand_for_many_are_refused_before_they_are_laid_out(array, kind):
    limits = WriterSettings(max_batch_bytes=64 << 20)
    usual = pa.default_memory_pool()
    watched = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(watched)
    try:
        error = refusal(batch(x=array), dataset(x=kind), limits)
    finally:
        pa.set_memory_pool(usual)
    assert (error.kind, error.code) == (ErrorKind.TOO_LARGE, "batch_too_large")
    assert watched.max_memory() < 8 << 20


def test_a_batch_over_the_limit_is_refused():
    limits = WriterSettings(max_batch_bytes=1 << 20)
    assert refusal(batch(x=pa.array(np.zeros(200_000))), dataset(x=pa.float64()), limits).code == "batch_too_large"


INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
NUMBERS = [*INTEGERS, pa.float32(), pa.float64(), pa.decimal128(5, 2), pa.decimal128(38, 10)]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_number_is_equal_after_the_cast_or_refused(data):
    source, target = data.draw(st.sampled_from([*INTEGERS, pa.float64()])), data.draw(st.sampled_from(NUMBERS))
    if pa.types.is_floating(source):
        values = st.floats(allow_nan=False)
    else:
        signed = pa.types.is_signed_integer(source)
        bits = source.bit_width - signed
        values = st.integers(-(2**bits) if signed else 0, 2**bits - 1) | st.integers(0, 127)
    array = pa.array(data.draw(st.lists(st.none() | values, min_size=1, max_size=5)), source)
    with suppress(LakehouseError):
        assert cast_batch(batch(x=array), dataset(x=target))["x"].to_pylist() == array.to_pylist()
