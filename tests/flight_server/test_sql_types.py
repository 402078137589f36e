import duckdb
import pyarrow as pa
import pytest

from flight_server.sql_types import precision_and_scale, sql_type_name, without_metadata

TYPES = [
    pa.null(),
    pa.bool_(),
    pa.int8(),
    pa.int16(),
    pa.int32(),
    pa.int64(),
    pa.uint8(),
    pa.uint16(),
    pa.uint32(),
    pa.uint64(),
    pa.float32(),
    pa.float64(),
    pa.string(),
    pa.large_string(),
    pa.binary(),
    pa.date32(),
    pa.decimal128(10, 2),
    pa.decimal128(38, 0),
    pa.time64("us"),
    pa.time64("ns"),
    pa.timestamp("s"),
    pa.timestamp("ms"),
    pa.timestamp("us"),
    pa.timestamp("ns"),
    pa.timestamp("us", "UTC"),
    pa.timestamp("ns", "UTC"),
    pa.month_day_nano_interval(),
    pa.list_(pa.int32()),
    pa.large_list(pa.int32()),
    pa.list_(pa.int32(), 3),
    pa.list_(pa.list_(pa.decimal128(5, 1))),
    pa.struct([("a", pa.int32()), ("b c", pa.string()), ('q"', pa.bool_())]),
    pa.map_(pa.string(), pa.list_(pa.struct([("x", pa.date32())]))),
]


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_a_type_has_the_name_that_the_engine_gives_it(kind):
    rows = pa.table({"x": pa.nulls(1, kind)})
    with duckdb.connect() as connection:
        described = connection.from_arrow(rows).types[0]
    assert sql_type_name(kind) == str(described)


def test_numbers_have_precision_and_scale():
    assert precision_and_scale(pa.decimal128(10, 2)) == (10, 2)
    assert precision_and_scale(pa.int64()) == (19, 0)
    assert precision_and_scale(pa.string()) is None


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_a_type_without_metadata_is_the_same_type(kind):
    assert without_metadata(kind) == kind


def test_metadata_is_removed_at_any_depth():
    def field(name, kind):
        return pa.field(name, kind, metadata={"PARQUET:field_id": "1"})

    inner = pa.struct([field("x", pa.int64())])
    kinds = [
        pa.list_(field("item", inner)),
        pa.list_(field("item", inner), 2),
        pa.map_(pa.string(), field("value", inner)),
        pa.struct([field("y", pa.list_(field("item", inner)))]),
    ]
    for kind in kinds:
        assert b"PARQUET:field_id" in pa.schema([pa.field("c", kind)]).serialize().to_pybytes()
        assert b"PARQUET:field_id" not in pa.schema([pa.field("c", without_metadata(kind))]).serialize().to_pybytes()
