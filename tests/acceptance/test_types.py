"""Every Arrow type goes in through stock clients and comes out as docs/types.md says, or is refused before it counts."""

import datetime as dt
import io
import itertools
import json
from decimal import Decimal

import pyarrow as pa
import pytest
from clean_answers import check_clean, refused
from flight_calls import put, query

D = Decimal
DAY = dt.date(2024, 2, 29)
MOMENT = dt.datetime(2024, 2, 29, 12, 34, 56)  # noqa: DTZ001 (it has no zone)
FIRST = MOMENT.min
TIME = dt.time(12, 34, 56)
INTERVAL = pa.scalar((1, 2, 3_000), pa.month_day_nano_interval())

KEPT = {
    "bool": pa.array([True, False, None]),
    "float32": pa.array([1.5, float("inf"), -0.0, None], pa.float32()),
    "float64": pa.array([1.5, float("-inf"), 1e308, None], pa.float64()),
    "string": pa.array(["", "a", "żółw 🐢", "x" * 100_000, None]),
    "binary": pa.array([b"", b"\0\xff", None]),
    "date32": pa.array([DAY, dt.date(1, 1, 1), dt.date(9999, 12, 31), None]),
    "time64[us]": pa.array([TIME, dt.time(0), dt.time(23, 59, 59, 999_999), None], pa.time64("us")),
    "time64[ns]": pa.array([1, 86_399_999_999_999, None], pa.time64("ns")),
    "timestamp[us]": pa.array([MOMENT, FIRST, None], pa.timestamp("us")),
    "timestamp[ns]": pa.array([1_700_000_000_123_456_789, -1, None], pa.timestamp("ns")),
    "timestamp[us, UTC]": pa.array([MOMENT, None], pa.timestamp("us", "UTC")),
    "timestamp[ns, UTC]": pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns", "UTC")),
    "decimal128(38, 10)": pa.array([D("1234567890123456789012345678.0123456789"), None], pa.decimal128(38, 10)),
    "decimal128(9, 2)": pa.array([D("-1234567.89"), None], pa.decimal128(9, 2)),
    "decimal128(38, 38)": pa.array([D("0." + "1" * 38), None], pa.decimal128(38, 38)),
    "decimal128(5, 0)": pa.array([D("12345"), None], pa.decimal128(5, 0)),
    "interval": pa.array([(1, 2, 3_000), (-14, -2, -5_000), (0, 0, 0), None], pa.month_day_nano_interval()),
    "list": pa.array([[1, None], [], None], pa.list_(pa.int32())),
    "list of lists": pa.array([[[1], None], [], None], pa.list_(pa.list_(pa.int32()))),
    "fixed_size_list": pa.array([[1, 2, 3], [4, None, 6], None], pa.list_(pa.int32(), 3)),
    "fixed_size_list of floats": pa.array([[0.5, 1.5]] * 3, pa.list_(pa.float32(), 2)),
    "struct": pa.array([{"x": 1, "y": "a"}, {"x": None, "y": None}, None], pa.struct([("x", pa.int32()), ("y", pa.string())])),
    "map": pa.array([[("a", 1), ("b", None)], [], None], pa.map_(pa.string(), pa.int32())),
    "list of structs of lists": pa.array(
        [[{"x": [1, 2]}, {"x": None}, None], None], pa.list_(pa.struct([("x", pa.list_(pa.int64()))]))
    ),
    "map of structs": pa.array([[(1, {"d": D("1.50")})], None], pa.map_(pa.int64(), pa.struct([("d", pa.decimal128(9, 2))]))),
    "null": pa.nulls(3),
    "only nulls": pa.nulls(3, pa.string()),
}  # fmt: skip
for signed, bits in itertools.product(["int", "uint"], [8, 16, 32, 64]):
    limits = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed == "int" else [0, 2**bits - 1]
    KEPT[f"{signed}{bits}"] = pa.array([*limits, 1, None], pa.type_for_alias(f"{signed}{bits}"))

TEXTS = pa.array(["a", "longer than the twelve bytes of a view", None])
BYTES = pa.array([b"abc", b"xyz", None])
LIST = pa.array([[1, None], [], None], pa.list_(pa.int32()))
WIDENED = {
    "float16": (pa.array([1.5, -2.0, None], pa.float16()), pa.array([1.5, -2.0, None], pa.float32())),
    "large_string": (TEXTS.cast(pa.large_string()), TEXTS),
    "string_view": (TEXTS.cast(pa.string_view()), TEXTS),
    "large_binary": (BYTES.cast(pa.large_binary()), BYTES),
    "binary_view": (BYTES.cast(pa.binary_view()), BYTES),
    "fixed_size_binary": (pa.array([b"abc", b"xyz", None], pa.binary(3)), BYTES),
    "date64": (pa.array([DAY, None], pa.date64()), pa.array([DAY, None])),
    "time32[s]": (pa.array([TIME, None], pa.time32("s")), pa.array([TIME, None], pa.time64("us"))),
    "time32[ms]": (pa.array([TIME, None], pa.time32("ms")), pa.array([TIME, None], pa.time64("us"))),
    "timestamp[s]": (pa.array([MOMENT, None], pa.timestamp("s")), pa.array([MOMENT, None], pa.timestamp("us"))),
    "timestamp[ms]": (pa.array([MOMENT, None], pa.timestamp("ms")), pa.array([MOMENT, None], pa.timestamp("us"))),
    "timestamp[s, Berlin]": (
        pa.array([1_700_000_000, None], pa.timestamp("s", "Europe/Berlin")),
        pa.array([1_700_000_000_000_000, None], pa.timestamp("us", "UTC")),
    ),
    "timestamp[ns, +02:30]": (
        pa.array([1_700_000_000_000_000_001, None], pa.timestamp("ns", "+02:30")),
        pa.array([1_700_000_000_000_000_001, None], pa.timestamp("ns", "UTC")),
    ),
    "decimal32": (pa.array([D("1.25"), None], pa.decimal32(5, 2)), pa.array([D("1.25"), None], pa.decimal128(5, 2))),
    "decimal64": (pa.array([D("1.25"), None], pa.decimal64(15, 2)), pa.array([D("1.25"), None], pa.decimal128(15, 2))),
    "decimal256": (pa.array([D("1.25"), None], pa.decimal256(38, 2)), pa.array([D("1.25"), None], pa.decimal128(38, 2))),
    "duration[s]": (pa.array([90, None], pa.duration("s")), pa.array([(0, 0, 90_000_000_000), None], INTERVAL.type)),
    "duration[ms]": (pa.array([5, None], pa.duration("ms")), pa.array([(0, 0, 5_000_000), None], INTERVAL.type)),
    "duration[us]": (pa.array([-5, None], pa.duration("us")), pa.array([(0, 0, -5_000), None], INTERVAL.type)),
    "duration[ns]": (pa.array([7_000, None], pa.duration("ns")), pa.array([(0, 0, 7_000), None], INTERVAL.type)),
    "large_list": (pa.array([[1, None], [], None], pa.large_list(pa.int32())), LIST),
    "list_view": (pa.array([[1, None], [], None], pa.list_view(pa.int32())), LIST),
    "large_list_view": (pa.array([[1, None], [], None], pa.large_list_view(pa.int32())), LIST),
    "dictionary": (pa.array(["a", "b", None, "a"]).dictionary_encode(), pa.array(["a", "b", None, "a"])),
    "dictionary of integers": (pa.array([7, None, 7]).dictionary_encode(), pa.array([7, None, 7])),
    "ordered dictionary": (
        pa.DictionaryArray.from_arrays(pa.array([1, 0, None], pa.uint8()), pa.array(["lo", "hi"]), ordered=True),
        pa.array(["hi", "lo", None]),
    ),
    "run_end_encoded": (pa.RunEndEncodedArray.from_arrays([2, 3], ["a", None]), pa.array(["a", "a", None])),
    "list of dictionaries": (
        pa.array([["a", None], None], pa.list_(pa.dictionary(pa.int8(), pa.string()))), pa.array([["a", None], None])
    ),
    "struct of views": (
        pa.array([{"x": "a"}, None], pa.struct([("x", pa.string_view())])),
        pa.array([{"x": "a"}, None], pa.struct([("x", pa.string())])),
    ),
    "map with large keys": (
        pa.array([[("a", 1)], None], pa.map_(pa.large_string(), pa.int32())),
        pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int32())),
    ),
    "uuid": (
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0123456789abcdef", None], pa.binary(16))),
        pa.array([b"0123456789abcdef", None]),
    ),
    "bool8": (pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, None], pa.int8())), pa.array([1, 0, None], pa.int8())),
    "json": (pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}", None])), pa.array(["{}", None])),
    "fixed_shape_tensor": (
        pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.int32(), [2]), pa.array([[1, 2], [3, 4]], pa.list_(pa.int32(), 2))),
        pa.array([[1, 2], [3, 4]], pa.list_(pa.int32(), 2)),
    ),
}  # fmt: skip

REFUSED = {
    "dense union": pa.UnionArray.from_dense(pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])]),
    "sparse union": pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]),
    "decimal256(76, 2)": pa.array([D("1.25")], pa.decimal256(76, 2)),
    "decimal with a negative scale": pa.array([D("1E+3")], pa.decimal128(5, -2)),
    "list of intervals": pa.array([[(1, 2, 3)]], pa.list_(pa.month_day_nano_interval())),
    "struct of durations": pa.array([{"d": 1}], pa.struct([("d", pa.duration("us"))])),
    "empty fixed_size_list": pa.array([[]], pa.list_(pa.int32(), 0)),
    "struct without fields": pa.array([{}], pa.struct([])),
    "list of unions": pa.ListArray.from_arrays(
        [0, 1], pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])
    ),
}

INEXACT = {
    "a date64 within a day": (pa.array([1], pa.date64()), "invalid_batch"),
    "a duration below a microsecond": (pa.array([1], pa.duration("ns")), "value_out_of_range"),
    "an interval below a microsecond": (pa.array([(0, 0, 1)], pa.month_day_nano_interval()), "value_out_of_range"),
    "a moment too far for microseconds": (pa.array([2**62], pa.timestamp("s")), "value_out_of_range"),
}


@pytest.fixture(scope="module")
def names():
    """Names of datasets, none of them twice."""
    return (f"types_{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def client(local):
    with local.client() as connected:
        yield connected


@pytest.fixture(scope="module")
def cursor(local):
    with local.adbc() as connection, connection.cursor() as opened:
        yield opened


def by_http(server, sql: str) -> pa.Table:
    answer = server.http.sql(sql, format="arrow")
    assert answer.status == 200, answer.body
    return pa.ipc.open_stream(io.BytesIO(answer.body)).read_all()


def by_adbc(cursor, sql: str) -> pa.Table:
    cursor.execute(sql)
    return cursor.fetch_arrow_table()


def check_everywhere(server, client, cursor, name: str, expected: pa.Table) -> None:
    """The rows in their order, through every client, and types apart from what is inside nested types."""
    for found in (query(client, f"FROM {name}"), by_adbc(cursor, f"FROM {name}"), by_http(server, f"FROM {name}")):
        assert found.schema.names == expected.schema.names
        assert [str(plain(kind)) for kind in found.schema.types] == [str(plain(kind)) for kind in expected.schema.types]
        assert found.num_rows == expected.num_rows
        assert same_values(found, expected)
        found.validate(full=True)


def plain(kind: pa.DataType) -> pa.DataType:
    """The type with the names of its list elements, map keys and map values forgotten."""
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(pa.field("item", plain(kind.value_type)), kind.list_size)
    if pa.types.is_map(kind):
        return pa.map_(plain(kind.key_type), plain(kind.item_type))
    if pa.types.is_list(kind):
        return pa.list_(pa.field("item", plain(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, plain(field.type)) for field in kind])
    return kind


def same_values(found: pa.Table, expected: pa.Table) -> bool:
    return all(
        repr(a.cast(b.type).to_pylist() if a.type != b.type else a.to_pylist()) == repr(b.to_pylist())
        for a, b in zip(found.columns, expected.columns, strict=True)
    )


@pytest.mark.parametrize("array", KEPT.values(), ids=KEPT)
def test_a_type_is_kept(local, client, cursor, names, array):
    table = pa.table({"v": array, "n": range(len(array))})
    put(client, name := next(names), table)
    check_everywhere(local, client, cursor, name, table)


@pytest.mark.parametrize(("array", "expected"), WIDENED.values(), ids=WIDENED)
def test_a_type_is_widened_to_one_that_says_the_same(local, client, cursor, names, array, expected):
    put(client, name := next(names), pa.table({"v": array, "n": range(len(array))}))
    check_everywhere(local, client, cursor, name, pa.table({"v": expected, "n": range(len(array))}))


BY_ADBC = {name: (array, array) for name, array in KEPT.items()} | WIDENED
OF_THE_DRIVER = ("run_end_encoded", "list_view", "large_list_view")
"""What the Go driver cannot take; it says so before it asks us."""


@pytest.mark.parametrize(
    ("array", "expected"),
    [value for name, value in BY_ADBC.items() if name not in OF_THE_DRIVER],
    ids=[name for name in BY_ADBC if name not in OF_THE_DRIVER],
)
def test_a_type_goes_in_by_adbc_too(client, cursor, names, array, expected):
    cursor.adbc_ingest(name := next(names), pa.table({"v": array}), mode="create")
    found = query(client, f"FROM {name}")
    assert plain(found.schema.field("v").type) == plain(expected.type)
    assert same_values(found, pa.table({"v": expected}))


@pytest.mark.parametrize("array", REFUSED.values(), ids=REFUSED)
def test_a_type_that_cannot_be_kept_is_refused_before_anything_is_written(local, client, names, array):
    name, files = next(names), data_objects(local)
    with refused("unsupported_type") as refusal:
        put(client, name, pa.table({"fine": [1], "bad_column": array}))
    assert "bad_column" in refusal.text
    assert local.http("GET", f"/v1/datasets/{name}").status == 404
    assert data_objects(local) == files


@pytest.mark.parametrize(("array", "code"), INEXACT.values(), ids=INEXACT)
def test_a_value_that_cannot_be_kept_is_refused(local, client, names, array, code):
    name = next(names)
    with refused(code) as refusal:
        put(client, name, pa.table({"fine": [1], "bad_column": array}))
    assert "bad_column" in refusal.text or "column 1" in refusal.text
    assert local.http("GET", f"/v1/datasets/{name}").status == 404


def data_objects(server) -> set[str]:
    return {path.name for path in (server.folder / "lake" / "data").rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("schema", "code"),
    [
        (pa.schema([]), "no_columns"),
        (pa.schema([("a", pa.int64()), ("a", pa.int64())]), "duplicate_column"),
        (pa.schema([("a", pa.int64()), ("A", pa.string())]), "duplicate_column"),
        (pa.schema([("", pa.int64())]), "invalid_column_name"),
        (pa.schema([("a\nb", pa.int64())]), "invalid_column_name"),
        (pa.schema([("a\0", pa.int64())]), "invalid_column_name"),
        (pa.schema([(f"c{n}", pa.int8()) for n in range(2001)]), "too_many_columns"),
    ],
    ids=["no column", "twice", "twice but for case", "no name", "line end", "zero byte", "too many"],
)
def test_a_schema_that_cannot_be_kept_is_refused(local, client, names, schema, code):
    name = next(names)
    with refused(code):
        put(client, name, schema.empty_table())
    assert local.http("GET", f"/v1/datasets/{name}").status == 404


ODD_NAMES = [
    "select",
    "a b",
    'say "hi"',
    "it's",
    "żółw",
    "🐢",
    "a.b",
    "1st",
    " ",
    "*",
    "?",
    "--",
    "x" * 300,
    "%s",
    "{}",
    "\\",
]


def test_odd_column_names_are_kept(local, client, cursor, names):
    table = pa.table({name: [number] for number, name in enumerate(ODD_NAMES)})
    put(client, name := next(names), table)
    check_everywhere(local, client, cursor, name, table)
    assert local.http.rows(name) == [{column: number for number, column in enumerate(ODD_NAMES)}]
    described = local.http("GET", f"/v1/datasets/{name}").json["schema"]
    assert [field["name"] for field in described] == ODD_NAMES


def test_nulls_in_a_column_that_takes_none_are_refused_and_the_flag_is_kept(local, client, names):
    schema = pa.schema([pa.field("a", pa.int64(), nullable=False), pa.field("b", pa.int64())])
    put(client, name := next(names), pa.table({"a": [1], "b": [None]}, schema))
    assert [f["nullable"] for f in local.http("GET", f"/v1/datasets/{name}").json["schema"]] == [False, True]
    with refused("null_in_not_null_column"):
        put(client, name, pa.table({"a": pa.array([None], pa.int64()), "b": pa.array([1])}))
    assert len(local.http.rows(name)) == 1


def stream(client, name: str, schema: pa.Schema, batches) -> dict:
    """Upload batches as they are, empty ones too."""
    writer, reader = client.do_put(pa.flight.FlightDescriptor.for_path(name), schema)
    with writer:
        for batch in batches:
            writer.write_batch(batch)
        writer.done_writing()
        return json.loads(reader.read().to_pybytes())


WHOLE = pa.record_batch(
    {
        "i": pa.array([None if n % 7 == 0 else n for n in range(1000)], pa.int32()),
        "b": pa.array([n % 3 == 0 for n in range(1000)]),
        "s": pa.array([None if n % 5 == 0 else f"text {n}" for n in range(1000)]),
        "l": pa.array([None if n % 4 == 0 else list(range(n % 6)) for n in range(1000)], pa.list_(pa.int16())),
        "d": pa.array([f"word {n % 9}" for n in range(1000)]).dictionary_encode(),
        "m": pa.array([[("k", n)] for n in range(1000)], pa.map_(pa.string(), pa.int64())),
        "t": pa.array([{"x": n} for n in range(1000)], pa.struct([("x", pa.int64())])),
        "f": pa.array([[n, n + 1] for n in range(1000)], pa.list_(pa.int32(), 2)),
    }
)


def expected_rows(batches) -> list[dict]:
    return [row for batch in batches for row in batch.to_pylist()]


SHAPES = {
    "no batch": [],
    "one empty batch": [WHOLE.slice(0, 0)],
    "a slice from the middle": [WHOLE.slice(333, 100)],
    "slices at odd offsets": [WHOLE.slice(start, 37) for start in range(1, 900, 53)],
    "empty batches between others": [WHOLE.slice(3, 0), WHOLE.slice(0, 1), WHOLE.slice(1, 0), WHOLE.slice(1, 13)],
    "a batch of one row each": [WHOLE.slice(n, 1) for n in range(40)],
}


@pytest.mark.parametrize("batches", SHAPES.values(), ids=SHAPES)
def test_a_stream_of_any_shape_keeps_its_rows_in_order(local, client, cursor, names, batches):
    answer = stream(client, name := next(names), WHOLE.schema, batches)
    rows = expected_rows(batches)
    assert answer["rows"] == len(rows)
    for found in (query(client, f"FROM {name}"), by_adbc(cursor, f"FROM {name}"), by_http(local, f"FROM {name}")):
        assert found.to_pylist() == rows
        assert found.schema.names == WHOLE.schema.names
    assert local.http("GET", f"/v1/datasets/{name}").json["row_count"] == len(rows)
    cursor.execute(f"SELECT count(*) FROM {name}")
    assert cursor.fetchall() == [(len(rows),)]


def test_a_batch_that_breaks_arrows_rules_is_refused(local, client, names):
    """Offsets that run backwards, which a reader that trusts them would follow out of its buffer."""
    offsets = pa.py_buffer(b"".join(n.to_bytes(4, "little", signed=True) for n in (0, 900_000, 2)))
    broken = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"ab")])
    name = next(names)
    with refused("invalid_batch", "malformed_stream"):
        stream(client, name, pa.schema([("s", pa.string())]), [pa.record_batch({"s": broken})])
    assert local.http("GET", f"/v1/datasets/{name}").status == 404


def test_text_that_is_not_utf8_is_refused(local, client, names):
    broken = pa.Array.from_buffers(pa.string(), 1, [None, pa.array(["abc"]).buffers()[1], pa.py_buffer(b"a\xff\xfe")])
    name = next(names)
    with refused("invalid_batch"):
        put(client, name, pa.table({"s": broken}))
    assert local.http("GET", f"/v1/datasets/{name}").status == 404


def test_every_type_goes_in_and_out_as_a_parquet_and_an_arrow_file_over_http(local, client, names):
    kept = {name: array for name, array in KEPT.items() if name not in {"interval", "null"}}
    table = pa.table({name: array.slice(0, 1).take([0, 0]) for name, array in kept.items()})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    name = next(names)
    answer = local.http.upload(sink.getvalue(), "application/vnd.apache.arrow.stream", name=name)
    assert answer.status == 200, answer.body
    found = by_http(local, f"FROM {name}")
    assert same_values(found, table)
    for text_format in ("json", "ndjson", "csv", "table", "parquet"):
        answer = local.http.sql(f"FROM {name}", format=text_format)
        assert answer.status == 200, answer.body
        if text_format != "parquet":
            check_clean(answer.body.decode())
