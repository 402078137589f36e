"""Every Arrow type: what a dataset makes of it, how it lies in Parquet, and that no value changes on the way."""

import io
from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog import (
    DatasetWriter,
    LakehouseError,
    MemoryStore,
    WriterSettings,
    cast_batch,
    fingerprint,
    physical_differs,
    physical_type,
    storable_schema,
)

UTC = "UTC"
INTERVAL = pa.month_day_nano_interval()
FIRST = pa.list_(pa.int32(), 2)


def decimals(kind: pa.DataType) -> pa.Array:
    return pa.array([Decimal("-1.25"), None, Decimal("9999999.99")], pa.decimal256(38, 2)).cast(kind)


def integers(values: list[int | None], kind: pa.DataType) -> pa.Array:
    """Build temporal values from integers: Python's own types hold neither years beyond 9999 nor nanoseconds."""
    return pa.array(values, pa.int32() if kind.bit_width == 32 else pa.int64()).view(kind)


def run_ends() -> pa.Array:
    return pa.RunEndEncodedArray.from_arrays(pa.array([1, 2, 3], pa.int16()), pa.array(["a", None, "c"]))


def string_view_dictionary() -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([1, None, 0], pa.uint32()), pa.array(["é", "x"], pa.string_view()))


def list_view(kind: pa.DataType) -> pa.Array:
    return pa.array([[1, 2], None, []], kind)


# What goes in, the dataset's type, and the Parquet type where it is another one.
KEPT = [
    pa.array([True, None, False]),
    pa.array([-128, None, 127], pa.int8()),
    pa.array([-(2**15), None, 2**15 - 1], pa.int16()),
    pa.array([-(2**31), None, 2**31 - 1], pa.int32()),
    pa.array([-(2**63), None, 2**63 - 1], pa.int64()),
    pa.array([0, None, 2**8 - 1], pa.uint8()),
    pa.array([0, None, 2**16 - 1], pa.uint16()),
    pa.array([0, None, 2**32 - 1], pa.uint32()),
    pa.array([0, None, 2**64 - 1], pa.uint64()),
    pa.array([-0.0, None, float("inf")], pa.float32()),
    pa.array([5e-324, None, float("-inf")], pa.float64()),
    pa.array(["", None, "naïve \0 🦆"]),
    pa.array([b"", None, b"\xff\0"]),
    integers([-(2**31), None, 2**31 - 1], pa.date32()),
    integers([0, None, 86_399_999_999], pa.time64("us")),
    integers([0, None, 86_399_999_999_999], pa.time64("ns")),
    integers([-(2**63), None, 2**63 - 1], pa.timestamp("us")),
    integers([-(2**63), None, 2**63 - 1], pa.timestamp("ns")),
    integers([-(2**63), None, 2**63 - 1], pa.timestamp("us", UTC)),
    integers([-(2**63), None, 2**63 - 1], pa.timestamp("ns", UTC)),
    decimals(pa.decimal128(9, 2)),
    decimals(pa.decimal128(18, 2)),
    decimals(pa.decimal128(38, 2)),
    pa.array([Decimal("1E-38"), None, Decimal("-1E-38")], pa.decimal128(38, 38)),
    pa.nulls(3),
    pa.array([[1, None], None, []], pa.list_(pa.int64())),
    pa.array([[None], None, []], pa.list_(pa.null())),
    pa.array([{"a": 1, "b": [{"c": "x"}]}, None, {"a": None, "b": []}]),
    pa.array([[("k", 1), ("l", None)], None, []], pa.map_(pa.string(), pa.int32())),
    pa.array(
        [[(1, [{"x": [("k", 1)]}])], None, []],
        pa.map_(pa.int8(), pa.list_(pa.struct([("x", pa.map_(pa.string(), pa.int8()))]))),
    ),
]
WIDENED = [
    (pa.array(["", None, "x"], pa.large_string()), pa.string()),
    (pa.array(["", None, "longer than twelve bytes"], pa.string_view()), pa.string()),
    (pa.array([b"", None, b"x"], pa.large_binary()), pa.binary()),
    (pa.array([b"", None, b"longer than twelve bytes"], pa.binary_view()), pa.binary()),
    (pa.array([b"abc", None, b"def"], pa.binary(3)), pa.binary()),
    (pa.array([1.5, None, -0.0], pa.float16()), pa.float32()),
    (decimals(pa.decimal32(9, 2)), pa.decimal128(9, 2)),
    (decimals(pa.decimal64(18, 2)), pa.decimal128(18, 2)),
    (decimals(pa.decimal256(38, 2)), pa.decimal128(38, 2)),
    (integers([-86_400_000, None, 0], pa.date64()), pa.date32()),
    (integers([0, None, 86_399], pa.time32("s")), pa.time64("us")),
    (integers([0, None, 86_399_999], pa.time32("ms")), pa.time64("us")),
    (integers([-1, None, 2**40], pa.timestamp("s")), pa.timestamp("us")),
    (integers([-1, None, 2**50], pa.timestamp("ms")), pa.timestamp("us")),
    (integers([-1, None, 2**40], pa.timestamp("s", "Europe/Berlin")), pa.timestamp("us", UTC)),
    (integers([-1, None, 2**62], pa.timestamp("ns", "+05:30")), pa.timestamp("ns", UTC)),
    (integers([-1, None, 2**62], pa.timestamp("us", "No/Such_Zone")), pa.timestamp("us", UTC)),
    (list_view(pa.large_list(pa.int8())), pa.list_(pa.int8())),
    (list_view(pa.list_view(pa.int8())), pa.list_(pa.int8())),
    (list_view(pa.large_list_view(pa.int8())), pa.list_(pa.int8())),
    (pa.array(["a", None, "b"]).dictionary_encode(), pa.string()),
    (pa.array([1, None, 2], pa.int16()).dictionary_encode(), pa.int16()),
    (string_view_dictionary(), pa.string()),
    (run_ends(), pa.string()),
    (pa.array([b"0" * 16, None, b"1" * 16], pa.uuid()), pa.binary()),
    (pa.array([1, None, 0], pa.int8()).cast(pa.bool8()), pa.int8()),
    (pa.ListArray.from_arrays([0, 2, 2, 3], string_view_dictionary(), mask=pa.array([False, True, False])), pa.list_(pa.string())),
    (pa.StructArray.from_arrays([string_view_dictionary(), run_ends()], names=["d", "r"]), pa.struct([("d", pa.string()), ("r", pa.string())])),
    (pa.MapArray.from_arrays([0, 1, 1, 2], pa.array(["k", "l"], pa.string_view()), pa.array([1, 2], pa.timestamp("s"))), pa.map_(pa.string(), pa.timestamp("us"))),
]  # fmt: skip
OTHERWISE_IN_PARQUET = [
    (pa.array([[1, None], None, [3, 4]], FIRST), FIRST, "x::INTEGER[2]"),
    (pa.array([[[1, 2]], None, [None]], pa.list_(FIRST)), pa.list_(FIRST), "x::INTEGER[2][]"),
    (pa.array([{"a": [1, 2]}, None, {"a": None}], pa.struct([("a", FIRST)])), pa.struct([("a", FIRST)]), "x::STRUCT(a INTEGER[2])"),
    (pa.array([(1, -2, 3_000), None, (0, 0, -5_000)], INTERVAL), INTERVAL, "interval"),
    (integers([-1_000, None, 7_000], pa.duration("ns")), INTERVAL, "interval"),
    (integers([-1, None, 9_000_000_000], pa.duration("s")), INTERVAL, "interval"),
]  # fmt: skip
INTERVAL_SQL = "to_months(x.months) + to_days(x.days) + to_microseconds(x.micros)"


def stored(array: pa.Array, tmp_path) -> tuple[pa.RecordBatch, str]:
    """Write an array as column x of a new dataset; return what was cast and a Parquet file's path."""
    schema = storable_schema(pa.schema([("x", array.type)]))
    batch = cast_batch(pa.RecordBatch.from_arrays([array], ["x"]), schema)
    store = MemoryStore()
    with DatasetWriter(store, "dataset", 0, schema) as writer:
        writer.write(batch)
        objects = writer.close()
    path = tmp_path / "x.parquet"
    path.write_bytes(store.get(objects["key"][0].as_py()).data)
    return batch, str(path)


def same(left: pa.Array, right: pa.Array) -> bool:
    """Compare values only: what nested fields are called and whether they may be null is not theirs."""
    return as_plain(left) == as_plain(right)


def as_plain(array: pa.Array | pa.ChunkedArray) -> list:
    kind = array.type
    if pa.types.is_temporal(kind) and kind != INTERVAL:
        array = array.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
    return [str(value) for value in array.to_pylist()]


def from_duckdb(path: str, expression: str = "x") -> pa.ChunkedArray:
    with duckdb.connect() as connection:
        connection.execute("SET timezone = 'UTC'").fetchall()
        return connection.sql(f"SELECT {expression} AS x FROM read_parquet(['{path}'])").to_arrow_table()["x"]


def named(types: list) -> list[str]:
    return [str((item if isinstance(item, pa.Array) else item[0]).type) for item in types]


@pytest.mark.parametrize("array", KEPT, ids=named(KEPT))
def test_a_kept_type_comes_out_of_the_engine_as_it_went_in(array, tmp_path):
    batch, path = stored(array, tmp_path)
    result = from_duckdb(path)
    assert fingerprint(pa.schema([("x", batch["x"].type)])) == fingerprint(
        storable_schema(pa.schema([("x", array.type)]))
    )
    assert not physical_differs(batch["x"].type)
    assert same_type(result.type, batch.schema.field("x").type)
    assert same(result, array)
    assert same(pq.read_table(path)["x"], array)


@pytest.mark.parametrize(("array", "kind"), WIDENED, ids=named(WIDENED))
def test_an_encoding_or_narrow_type_is_widened_without_changing_a_value(array, kind, tmp_path):
    batch, path = stored(array, tmp_path)
    result = from_duckdb(path)
    assert same_type(batch.schema.field("x").type, kind)
    assert same_type(result.type, kind)
    assert same(result, batch["x"])
    assert batch["x"].null_count == result.null_count
    if not pa.types.is_nested(kind) and not isinstance(array.type, pa.BaseExtensionType):
        assert as_plain(result) == expected(array, kind)


def expected(array: pa.Array, kind: pa.DataType) -> list[str]:
    if pa.types.is_dictionary(array.type):
        array = pa.array(array.to_pylist(), kind)
    if pa.types.is_temporal(kind):
        array = array.cast(kind)
    return as_plain(array)


@pytest.mark.parametrize(("array", "kind", "expression"), OTHERWISE_IN_PARQUET, ids=named(OTHERWISE_IN_PARQUET))
def test_a_type_that_parquet_lacks_is_restored_by_one_expression(array, kind, expression, tmp_path):
    batch, path = stored(array, tmp_path)
    assert physical_differs(batch.schema.field("x").type)
    assert same_type(from_duckdb(path).type, physical_type(kind))
    result = from_duckdb(path, INTERVAL_SQL if expression == "interval" else expression)
    assert same_type(result.type, kind)
    assert same(result, batch["x"])


@pytest.mark.parametrize(
    "array",
    [*KEPT, *(array for array, *_ in WIDENED + OTHERWISE_IN_PARQUET)],
    ids=named([*KEPT, *WIDENED, *OTHERWISE_IN_PARQUET]),
)
def test_slices_and_empty_batches_of_every_type_are_cast_like_whole_ones(array):
    schema = storable_schema(pa.schema([("x", array.type)]))
    batch = pa.RecordBatch.from_arrays([array], ["x"])
    whole = cast_batch(batch, schema)["x"]
    for start, length in [(0, 0), (3, 0), (0, 1), (1, 1), (1, 2), (2, 1)]:
        assert same(cast_batch(batch.slice(start, length), schema)["x"], whole.slice(start, length))
    if "run_end_encoded" not in str(array.type):  # pyarrow itself makes invalid ones
        empty = pa.RecordBatch.from_arrays([pa.nulls(0, array.type)], ["x"])
        assert cast_batch(empty, schema).num_rows == 0


def same_type(left: pa.DataType, right: pa.DataType) -> bool:
    """Compare types by the name in a fingerprint, which leaves list children's names and nullability out."""
    return fingerprint(pa.schema([("x", left)])) == fingerprint(pa.schema([("x", right)]))


@pytest.mark.parametrize(
    "kind",
    [
        pa.dense_union([pa.field("a", pa.int8())]),
        pa.sparse_union([pa.field("a", pa.int8())]),
        pa.decimal256(39, 2),
        pa.decimal128(5, -2),
        pa.decimal128(2, 4),
        pa.list_(pa.int8(), 0),
        pa.list_(pa.int8(), 100_001),
        pa.list_(INTERVAL),
        pa.struct([("a", pa.duration("us"))]),
        pa.struct([]),
        pa.struct([("a", pa.int8()), ("A", pa.int8())]),
        pa.struct([("", pa.int8())]),
    ],
    ids=str,
)
def test_a_type_that_cannot_be_kept_is_refused_with_the_columns_name(kind):
    with pytest.raises(LakehouseError, match="'bad'") as caught:
        storable_schema(pa.schema([("good", pa.int8()), ("bad", kind)]))
    assert caught.value.code == "unsupported_type"


def test_every_column_at_fault_is_named_at_once():
    union = pa.dense_union([pa.field("a", pa.int8())])
    with pytest.raises(LakehouseError, match=r"'a'.*'c'"):
        storable_schema(pa.schema([("a", union), ("b", pa.int8()), ("c", union)]))


@pytest.mark.parametrize(
    ("names", "code"),
    [
        ([], "no_columns"),
        (["a", ""], "invalid_column_name"),
        (["a\n"], "invalid_column_name"),
        (["\x85"], "invalid_column_name"),
        (["a", "b", "a"], "duplicate_column"),
        (["État", "état"], "duplicate_column"),
        (["a", "b", "c", "d", "e"], "too_many_columns"),
    ],
)
def test_bad_column_names_and_counts_are_refused(names, code):
    with pytest.raises(LakehouseError) as caught:
        storable_schema(pa.schema([(name, pa.int8()) for name in names]), WriterSettings(max_columns=4))
    assert caught.value.code == code


def test_a_column_name_that_is_not_utf8_is_refused():
    encoded = pa.schema([("naïve", pa.int8())]).serialize().to_pybytes().replace("ï".encode(), b"\xff\xff")
    with pytest.raises(LakehouseError) as caught:
        storable_schema(pa.ipc.read_schema(pa.py_buffer(encoded)))
    assert caught.value.code == "invalid_column_name"


@pytest.mark.parametrize("name", ["a.b", 'a"b', " ", "filename", "file_row_number", "rowid", "sélect", "🦆"])
def test_an_odd_column_name_is_kept(name, tmp_path):
    pq.write_table(pa.table({name: [42]}), tmp_path / "x.parquet")
    assert storable_schema(pa.schema([(name, pa.int8())])).names == [name]
    quoted = '"' + name.replace('"', '""') + '"'
    assert from_duckdb(str(tmp_path / "x.parquet"), quoted).to_pylist() == [42]


def test_nested_columns_count_and_depth_is_limited():
    wide = pa.struct([(str(i), pa.int8()) for i in range(5)])
    deep = pa.list_(pa.list_(pa.list_(pa.int8())))
    with pytest.raises(LakehouseError, match="5 columns"):
        storable_schema(pa.schema([("x", wide)]), WriterSettings(max_columns=4))
    with pytest.raises(LakehouseError, match="2 levels"):
        storable_schema(pa.schema([("x", deep)]), WriterSettings(max_nesting=2))
    assert storable_schema(pa.schema([("x", deep)]), WriterSettings(max_nesting=3))


def test_field_ids_number_every_node_and_are_in_the_parquet_file(tmp_path):
    kind = pa.struct([("a", pa.list_(pa.int8())), ("m", pa.map_(pa.string(), pa.int8()))])
    schema = storable_schema(pa.schema([("x", pa.int8()), ("s", kind), ("y", pa.string())]))
    found: list[tuple[str, int]] = []
    walk(schema, found)
    assert [number for _, number in found] == list(range(1, len(found) + 1))
    store = MemoryStore()
    with DatasetWriter(store, "d", 0, schema) as writer:
        writer.write(one_row(schema))
        key = writer.close()["key"][0].as_py()
    written: list[tuple[str, int]] = []
    walk(pq.ParquetFile(io.BytesIO(store.get(key).data)).schema_arrow, written)
    assert written == found


def one_row(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(1, field.type) for field in schema], schema=schema)


def walk(fields, found: list) -> None:
    for field in fields:
        found.append((field.name, int(field.metadata[b"PARQUET:field_id"])))
        if pa.types.is_map(field.type):
            walk([field.type.key_field, field.type.item_field], found)
        elif pa.types.is_nested(field.type):
            walk([field.type.field(i) for i in range(field.type.num_fields)], found)


def test_metadata_of_the_sender_is_dropped_and_nullability_kept():
    field = pa.field("x", pa.int8(), nullable=False, metadata={"a": "b"})
    schema = storable_schema(pa.schema([field], metadata={"pandas": "{}"}))
    assert schema.metadata is None
    assert schema.field("x").metadata == {b"PARQUET:field_id": b"1"}
    assert not schema.field("x").nullable


def test_a_storable_schema_is_its_own_storable_schema():
    schema = storable_schema(pa.schema([(str(i), array.type) for i, array in enumerate(KEPT)]))
    assert storable_schema(schema).equals(schema, check_metadata=True)


def test_a_fingerprint_never_changes():
    """These are stored in every lake: a change here is a break of the format."""
    kinds = [array.type for array in KEPT] + [kind for _, kind, _ in OTHERWISE_IN_PARQUET]
    schema = storable_schema(pa.schema([(f"c{i}", kind) for i, kind in enumerate(kinds)]))
    assert fingerprint(schema) == "v1:84ad8cb31801abc96cd3f1f02551821449505de3414aa97cc6db452f99362208"


def test_a_fingerprint_tells_order_names_types_and_nullability_apart():
    fields = [pa.field("a", pa.int8()), pa.field("b", pa.string())]
    variants = [
        fields,
        fields[::-1],
        [fields[0], pa.field("B", pa.string())],
        [fields[0], pa.field("b", pa.binary())],
        [fields[0], pa.field("b", pa.string(), nullable=False)],
        fields[:1],
    ]
    assert len({fingerprint(pa.schema(variant)) for variant in variants}) == len(variants)
    assert fingerprint(pa.schema(fields)) == fingerprint(storable_schema(pa.schema(fields, metadata={"a": "b"})))


def test_an_extension_that_nobody_knows_is_its_storage(tmp_path):
    metadata = {"ARROW:extension:name": "example.unknown", "ARROW:extension:metadata": "{}"}
    sent = pa.schema([pa.field("x", pa.string_view(), metadata=metadata)]).serialize()
    schema = storable_schema(pa.ipc.read_schema(sent))
    assert schema.field("x").type == pa.string()
    assert schema.field("x").metadata == {b"PARQUET:field_id": b"1"}


@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("us"), pa.timestamp("ns")], ids=str)
def test_the_engine_shows_the_largest_integers_as_infinity(kind, tmp_path):
    largest = 2 ** (kind.bit_width - 1) - 1
    _, path = stored(integers([largest, -largest], kind), tmp_path)
    assert from_duckdb(path, "x::VARCHAR").to_pylist() == ["infinity", "-infinity"]
