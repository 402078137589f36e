import pyarrow as pa
import pytest

from http_shim.errors import HttpProblem
from http_shim.schema_json import parse_type, schema_from_json

UTC = pa.timestamp("us", tz="UTC")


@pytest.mark.parametrize(
    ("text", "arrow_type"),
    [
        ("int64", pa.int64()),
        ("BIGINT", pa.int64()),
        ("integer", pa.int32()),
        ("UTINYINT", pa.uint8()),
        ("double precision", pa.float64()),
        ("varchar(20)", pa.string()),
        ("text", pa.string()),
        ("blob", pa.binary()),
        ("date32[day]", pa.date32()),
        ("time64[us]", pa.time64("us")),
        ("decimal(18, 2)", pa.decimal128(18, 2)),
        ("decimal128(10,0)", pa.decimal128(10, 0)),
        ("NUMERIC(5)", pa.decimal128(5, 0)),
        ("numeric", pa.decimal128(18, 3)),
        ("timestamp", pa.timestamp("us")),
        ("timestamp[ns]", pa.timestamp("ns")),
        ("timestamp[us, tz=UTC]", UTC),
        ("TIMESTAMP WITH TIME ZONE", UTC),
        ("timestamptz", UTC),
        ("interval", pa.month_day_nano_interval()),
        ("INTEGER[]", pa.list_(pa.int32())),
        ("text[][]", pa.list_(pa.list_(pa.string()))),
        ("double[3]", pa.list_(pa.float64(), 3)),
        ("decimal(4,1)[]", pa.list_(pa.decimal128(4, 1))),
        ("list<item: int64>", pa.list_(pa.int64())),
        ("list<int64>", pa.list_(pa.int64())),
        ("fixed_size_list<item: float>[2]", pa.list_(pa.float32(), 2)),
        ("map<string, int64>", pa.map_(pa.string(), pa.int64())),
        ("MAP(VARCHAR, DOUBLE)", pa.map_(pa.string(), pa.float64())),
        ('STRUCT(a INTEGER, "b c" VARCHAR[])', pa.struct([("a", pa.int32()), ("b c", pa.list_(pa.string()))])),
    ],
)
def test_types_go_by_arrows_and_sqls_names(text, arrow_type):
    assert parse_type(text) == arrow_type


@pytest.mark.parametrize(
    "arrow_type",
    [
        pa.list_(pa.struct([pa.field("a", pa.int64(), nullable=False), pa.field("b", pa.list_(UTC))])),
        pa.map_(pa.string(), pa.list_(pa.decimal128(38, 10))),
        pa.list_(pa.field("item", pa.string(), nullable=False)),
        pa.duration("us"),
        pa.float16(),
        pa.large_string(),
    ],
)
def test_arrows_own_text_of_a_type_is_that_type(arrow_type):
    assert parse_type(str(arrow_type)) == arrow_type


@pytest.mark.parametrize(
    "text",
    ["", "int65", "int64 x", "list<", "list<int64", "struct<>", "decimal(40,2)", "timestamp[xs]", "[]", "list<" * 40],
)
def test_what_is_no_type_is_refused(text):
    with pytest.raises(HttpProblem) as caught:
        parse_type(text)
    assert (caught.value.status, caught.value.code) == (400, "invalid_schema")


def test_a_field_may_refuse_nulls():
    schema = schema_from_json([{"name": "a", "type": "int64", "nullable": False}, {"name": "b", "type": "text"}])
    assert schema == pa.schema([pa.field("a", pa.int64(), nullable=False), pa.field("b", pa.string())])


@pytest.mark.parametrize(
    "fields",
    [
        None,
        [],
        {},
        ["a"],
        [{"name": "a"}],
        [{"name": 1, "type": "int64"}],
        [{"name": "a", "type": "int64", "nullable": "no"}],
        [{"name": "a", "type": "int64", "nulable": True}],
    ],
)
def test_what_is_no_schema_is_refused(fields):
    with pytest.raises(HttpProblem) as caught:
        schema_from_json(fields)
    assert caught.value.code == "invalid_schema"
