"""Statistics say what is in an object, in the bytes that the Iceberg specification names, or nothing."""

import struct
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pytest

from catalog import DatasetWriter, MemoryStore, WriterSettings, cast_batch, storable_schema


def statistics(array: pa.Array, limits: WriterSettings | None = None) -> list[dict]:
    schema = storable_schema(pa.schema([("x", array.type)]))
    with DatasetWriter(MemoryStore(), "d", 0, schema, limits or WriterSettings()) as writer:
        writer.write(cast_batch(pa.record_batch([array], ["x"]), schema))
        return writer.close()["statistics"][0].as_py()


@pytest.mark.parametrize(
    ("array", "low", "high"),
    [
        (pa.array([True, False, None]), b"\0", b"\1"),
        (pa.array([-1, 5], pa.int8()), b"\xff\xff\xff\xff", b"\5\0\0\0"),
        (pa.array([0, 2**32 - 1], pa.uint32()), bytes(8), b"\xff\xff\xff\xff\0\0\0\0"),
        (pa.array([1, 2**64 - 1], pa.uint64()), b"\1" + bytes(7), b"\xff" * 8),
        (pa.array([-2, 2], pa.int64()), b"\xfe" + b"\xff" * 7, b"\2" + bytes(7)),
        (pa.array([1.5, -1.5], pa.float32()), struct.pack("<f", -1.5), struct.pack("<f", 1.5)),
        (pa.array([1.5, -1.5]), struct.pack("<d", -1.5), struct.pack("<d", 1.5)),
        (pa.array([0.0]), struct.pack("<d", -0.0), struct.pack("<d", 0.0)),
        (pa.array(["b", "é", None]), b"b", "é".encode()),
        (pa.array([b"", b"\xff"]), b"", b"\xff"),
        (pa.array([date(1970, 1, 2)]), b"\1\0\0\0", b"\1\0\0\0"),
        (pa.array([1, 2], pa.timestamp("ns")), b"\1" + bytes(7), b"\2" + bytes(7)),
        (pa.array([1, 2], pa.time64("us")), b"\1" + bytes(7), b"\2" + bytes(7)),
        (pa.array([Decimal("-1.28"), Decimal("1.28")], pa.decimal128(5, 2)), b"\x80", b"\0\x80"),
        (pa.array([Decimal("-1.29"), Decimal("0.00")], pa.decimal128(38, 2)), b"\xff\x7f", b"\0"),
    ],
    ids=lambda item: str(getattr(item, "type", "")),
)
def test_bounds_are_single_value_bytes(array, low, high):
    (found,) = statistics(array)
    assert found == {"field_id": 1, "null_count": array.null_count, "min": low, "max": high, "exact": True}


@pytest.mark.parametrize(
    ("low", "high", "upper"),
    [
        ("a" * 40, "b" * 40, "b" * 31 + "c"),
        ("é" * 40, "é" * 40, "é" * 31 + "ê"),
        ("a", "\U0010ffff" * 40, None),
        ("a", "b" + "\U0010ffff" * 40, "c"),
        ("a", "\ud7ff" * 40, "\ud7ff" * 31 + "\ue000"),
    ],
)
def test_long_text_is_cut_and_its_upper_bound_rounded_up(low, high, upper):
    (found,) = statistics(pa.array([low, high]))
    assert found["min"] == low[:32].encode()
    assert found["max"] == (upper.encode() if upper else None)
    assert not found["exact"]


def test_long_bytes_are_cut_and_their_upper_bound_rounded_up():
    assert statistics(pa.array([b"\1\xff" * 40]))[0]["max"] == b"\1\xff" * 15 + b"\2"
    assert statistics(pa.array([b"\xff" * 40]))[0]["max"] is None


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
def test_a_column_with_a_nan_has_no_known_upper_bound(kind):
    (found,) = statistics(pa.array([1.0, float("nan"), 2.0], kind))
    assert found["min"] is not None
    assert found["max"] is None
    assert not found["exact"]


def test_a_nan_in_any_row_group_counts():
    limits = WriterSettings(row_group_rows=2, threads=1)
    assert statistics(pa.array([float("nan"), 1.0, 2.0, 3.0, 4.0]), limits)[0]["max"] is None
    assert statistics(pa.array([0.0, 1.0, 2.0, 3.0, float("nan")]), limits)[0]["max"] is None


def test_row_groups_are_merged_and_groups_of_nulls_do_not_hide_the_others():
    limits = WriterSettings(row_group_rows=2, threads=1)
    (found,) = statistics(pa.array([3, 4, None, None, 1, None]), limits)
    assert (found["null_count"], found["min"], found["max"]) == (3, b"\1" + bytes(7), b"\4" + bytes(7))


def test_a_column_of_nulls_has_a_count_and_no_bounds():
    (found,) = statistics(pa.array([None, None], pa.int64()))
    assert (found["null_count"], found["min"], found["max"]) == (2, None, None)


def test_text_too_long_for_the_footer_leaves_the_bounds_unknown():
    limits = WriterSettings(row_group_rows=2, threads=1)
    (found,) = statistics(pa.array(["a", "b", "c" * 10_000, "d"]), limits)
    assert (found["null_count"], found["min"], found["max"]) == (0, None, None)


def test_columns_after_nested_ones_keep_their_own_statistics():
    nested = pa.array([{"a": 1, "b": [1, 2]}])
    interval = pa.array([(1, 2, 3000)], pa.month_day_nano_interval())
    names = ["s", "i", "m", "f", "x"]
    mapped = pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int8()))
    fixed = pa.array([[1, 2]], pa.list_(pa.int8(), 2))
    rows = pa.record_batch([nested, interval, mapped, fixed, pa.array([42])], names)
    schema = storable_schema(rows.schema)
    with DatasetWriter(MemoryStore(), "d", 0, schema) as writer:
        writer.write(cast_batch(rows, schema))
        (found,) = writer.close()["statistics"][0].as_py()
    assert found["field_id"] == int(schema.field("x").metadata[b"PARQUET:field_id"])
    assert found["min"] == b"\x2a" + bytes(7)
