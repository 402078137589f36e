import time
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.flight as fl
import pytest
from adbc_driver_flightsql import dbapi

from catalog import CommitSettings, DatasetName, Lake, LakehouseError, MemoryStore, storable_schema
from catalog.model import DATASETS
from flight_server import commands, schemas, sql_info
from flight_server.engine import EngineInfo
from flight_server.metadata import Metadata, like, table_schema

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SQL_INFO = sql_info.sql_info_values(sql_info.ServerInfo("Lakehouse", "1.0", EngineInfo("DuckDB", "2.0.0")))
COLUMNS = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False, metadata={"PARQUET:field_id": "1"}),
        pa.field("price", pa.decimal128(10, 2)),
        pa.field("tags", pa.list_(pa.field("item", pa.string(), metadata={"PARQUET:field_id": "4"}))),
    ]
)


class FakeManifest:
    def __init__(self, name):
        self.name = name
        self.schema = COLUMNS


class FakeSnapshot:
    """The part of a snapshot that metadata needs, over names only."""

    def __init__(self, names):
        self.names = [DatasetName(*name.split(".")) for name in names]
        count = len(names)
        values = {
            "schema": [name.schema for name in self.names],
            "name": [name.name for name in self.names],
            "manifest": [f"manifests/{name}" for name in self.names],
        }
        blanks = {"string": "", "int64": 0, "timestamp[us, tz=UTC]": NOW}
        columns = [values.get(field.name, [blanks[str(field.type)]] * count) for field in DATASETS]
        self.datasets = pa.table([pa.array(c, f.type) for c, f in zip(columns, DATASETS, strict=True)], DATASETS)
        self.reads = 0

    def schemas(self):
        return sorted({"main", *(name.schema for name in self.names)})

    def entry(self, name):
        return name

    def manifest(self, entry):
        self.reads += 1
        return FakeManifest(entry)


@pytest.fixture
def metadata():
    return Metadata(SQL_INFO)


@pytest.fixture
def lakes():
    return {
        "lake": FakeSnapshot(["main.workers", "main.flights", "sales.flights_2026", "sales.flightsx2026"]),
        "archive": FakeSnapshot(["old.flights"]),
    }


def names(table):
    return [".".join(row.values()) for row in table.select([0, 1, 2]).to_pylist()]


EVERY_COMMAND = [
    commands.GetCatalogs(),
    commands.GetDbSchemas(),
    commands.GetTables(),
    commands.GetTables(include_schema=True),
    commands.GetTableTypes(),
    commands.GetPrimaryKeys("t"),
    commands.GetExportedKeys("t"),
    commands.GetImportedKeys("t"),
    commands.GetCrossReference("t", "u"),
    commands.GetSqlInfo(),
]


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=repr)
@pytest.mark.parametrize("mounted", ["lakes", "none", "empty"])
def test_the_rows_have_exactly_the_schema_that_was_announced(metadata, lakes, command, mounted):
    visible = {"lakes": lakes, "none": {}, "empty": {"lake": FakeSnapshot([])}}[mounted]
    table = metadata.rows(command, visible)
    assert table.schema.equals(schemas.metadata_schema(command), check_metadata=True)
    table.validate(full=True)
    assert len(table.to_batches()) <= 1


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (schemas.CATALOGS, "catalog_name: string not null"),
        (schemas.DB_SCHEMAS, "catalog_name: string\ndb_schema_name: string not null"),
        (
            schemas.TABLES_WITH_SCHEMA,
            (
                "catalog_name: string\ndb_schema_name: string\ntable_name: string not null\n"
                "table_type: string not null\ntable_schema: binary not null"
            ),
        ),
        (schemas.TABLE_TYPES, "table_type: string not null"),
        (
            schemas.PRIMARY_KEYS,
            (
                "catalog_name: string\ndb_schema_name: string\ntable_name: string not null\n"
                "column_name: string not null\nkey_sequence: int32 not null\nkey_name: string"
            ),
        ),
        (
            schemas.FOREIGN_KEYS,
            (
                "pk_catalog_name: string\npk_db_schema_name: string\npk_table_name: string not null\n"
                "pk_column_name: string not null\nfk_catalog_name: string\nfk_db_schema_name: string\n"
                "fk_table_name: string not null\nfk_column_name: string not null\nkey_sequence: int32 not null\n"
                "fk_key_name: string\npk_key_name: string\nupdate_rule: uint8 not null\ndelete_rule: uint8 not null"
            ),
        ),
    ],
)
def test_the_fixed_schemas_are_those_of_the_protocol(schema, text):
    assert schema.to_string() == text


def test_the_sql_info_union_has_the_protocols_children():
    union = schemas.SQL_INFO.field("value").type
    assert union.mode == "dense"
    assert union.type_codes == [0, 1, 2, 3, 4, 5]
    children = [union.field(number) for number in range(6)]
    assert [child.name for child in children] == [
        "string_value",
        "bool_value",
        "bigint_value",
        "int32_bitmask",
        "string_list",
        "int32_to_int32_list_map",
    ]
    assert not any(child.nullable for child in children)


def test_catalogs_are_the_lakes(metadata, lakes):
    assert metadata.rows(commands.GetCatalogs(), lakes)["catalog_name"].to_pylist() == ["archive", "lake"]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (commands.GetDbSchemas(), ["archive.main", "archive.old", "lake.main", "lake.sales"]),
        (commands.GetDbSchemas("lake"), ["lake.main", "lake.sales"]),
        (commands.GetDbSchemas("LAKE", "MA_N"), ["lake.main"]),
        (commands.GetDbSchemas(None, "%"), ["archive.main", "archive.old", "lake.main", "lake.sales"]),
        (commands.GetDbSchemas(""), []),
        (commands.GetDbSchemas(None, ""), []),
        (commands.GetDbSchemas("none"), []),
    ],
)
def test_schemas_are_filtered(metadata, lakes, command, expected):
    rows = metadata.rows(command, lakes).to_pylist()
    assert [".".join(row.values()) for row in rows] == expected


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            commands.GetTables(),
            [
                "archive.old.flights",
                "lake.main.flights",
                "lake.main.workers",
                "lake.sales.flights_2026",
                "lake.sales.flightsx2026",
            ],
        ),
        (commands.GetTables("lake", "main"), ["lake.main.flights", "lake.main.workers"]),
        (commands.GetTables(table_name_filter_pattern="flights"), ["archive.old.flights", "lake.main.flights"]),
        (
            commands.GetTables(table_name_filter_pattern="FLIGHTS%6"),
            ["lake.sales.flights_2026", "lake.sales.flightsx2026"],
        ),
        (commands.GetTables(table_name_filter_pattern=r"flights\_%"), ["lake.sales.flights_2026"]),
        (commands.GetTables("lake", table_types=("VIEW",)), []),
        (commands.GetTables("archive", table_types=("VIEW", "table")), ["archive.old.flights"]),
        (commands.GetTables(table_name_filter_pattern="SELECT '%' FROM \"a\\b\" -- é\n" * 50), []),
        (commands.GetTables(""), []),
    ],
)
def test_tables_are_filtered_and_sorted(metadata, lakes, command, expected):
    assert names(metadata.rows(command, lakes)) == expected


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("%", "abc a%c a_c ABC xyz"),
        ("%%%", "abc a%c a_c ABC xyz"),
        ("a_c", "abc a%c a_c ABC"),
        (r"a\%c", "a%c"),
        (r"a\%%", "a%c"),
        (r"a\_c", "a_c"),
        ("a%%%%c", "abc a%c a_c ABC"),
        ("___", "abc a%c a_c ABC xyz"),
        ("____", ""),
        ("", ""),
        ("a.c", ""),
        ("[a", ""),
        ("%" * 100_000 + "z", "xyz"),
        ("_" * 100_000, ""),
        ("\\", ""),
    ],
)
def test_like_is_sqls(pattern, matches):
    values = pa.array(["abc", "a%c", "a_c", "ABC", "xyz"])
    assert " ".join(values.filter(like(values, pattern)).to_pylist()) == matches


def test_a_table_schema_tells_drivers_what_they_ask_for(metadata, lakes):
    command = commands.GetTables("lake", "main", "workers", include_schema=True)
    (row,) = metadata.rows(command, lakes).to_pylist()
    schema = pa.ipc.read_schema(pa.py_buffer(row["table_schema"]))
    assert schema.equals(table_schema("lake", DatasetName("main", "workers"), COLUMNS), check_metadata=True)
    assert schema == COLUMNS
    common = {
        b"ARROW:FLIGHT:SQL:CATALOG_NAME": b"lake",
        b"ARROW:FLIGHT:SQL:DB_SCHEMA_NAME": b"main",
        b"ARROW:FLIGHT:SQL:SCHEMA_NAME": b"main",
        b"ARROW:FLIGHT:SQL:TABLE_NAME": b"workers",
        b"ARROW:FLIGHT:SQL:IS_AUTO_INCREMENT": b"0",
        b"ARROW:FLIGHT:SQL:IS_CASE_SENSITIVE": b"0",
        b"ARROW:FLIGHT:SQL:IS_READ_ONLY": b"0",
        b"ARROW:FLIGHT:SQL:IS_SEARCHABLE": b"1",
    }
    assert schema.field("price").metadata == common | {
        b"ARROW:FLIGHT:SQL:TYPE_NAME": b"DECIMAL(10,2)",
        b"ARROW:FLIGHT:SQL:PRECISION": b"10",
        b"ARROW:FLIGHT:SQL:SCALE": b"2",
    }
    assert schema.field("tags").metadata == common | {b"ARROW:FLIGHT:SQL:TYPE_NAME": b"VARCHAR[]"}
    assert schema.field("tags").type.value_field.metadata is None
    assert not schema.field("id").nullable


def test_only_matching_manifests_are_read_and_each_one_once(metadata, lakes):
    command = commands.GetTables("lake", None, "flights%", include_schema=True)
    first = metadata.rows(command, lakes)
    assert lakes["lake"].reads == 3
    assert metadata.rows(command, lakes) == first
    everything = metadata.rows(commands.GetTables("lake", include_schema=True), lakes)
    assert lakes["lake"].reads == 4
    assert everything.slice(0, 1) == first.slice(0, 1)


def test_the_schema_cache_is_bounded(lakes):
    metadata = Metadata(SQL_INFO, max_cached_schemas=1)
    command = commands.GetTables("lake", include_schema=True)
    assert metadata.rows(command, lakes) == metadata.rows(command, lakes)
    assert lakes["lake"].reads >= 7


def test_type_info_is_not_served_yet(metadata, lakes):
    with pytest.raises(
        LakehouseError, match="unsupported_command: This server does not support CommandGetXdbcTypeInfo"
    ):
        metadata.rows(commands.GetXdbcTypeInfo(), lakes)


def test_ten_thousand_datasets_are_listed_and_searched_without_delay(metadata):
    lakes = {"lake": FakeSnapshot([f"s{number % 10}.t{number:05}" for number in range(10_000)])}
    started = time.perf_counter()
    assert len(metadata.rows(commands.GetTables(), lakes)) == 10_000
    assert len(metadata.rows(commands.GetTables(table_name_filter_pattern="t0999_", include_schema=True), lakes)) == 10
    # Tens of milliseconds; the limit only tells it from work per row that would take seconds.
    assert time.perf_counter() - started < 1


def test_the_snapshots_of_a_real_lake_answer(metadata):
    with Lake.open("lake", MemoryStore(), commit=CommitSettings()) as lake:
        transaction = lake.begin()
        transaction.create_schema("sales")
        for name in (DatasetName("main", "workers"), DatasetName("sales", "orders")):
            transaction.create(name, storable_schema(COLUMNS))
        transaction.commit()
        staged = lake.begin(lake.snapshot())
        staged.create(DatasetName("main", "staged"), storable_schema(COLUMNS))
        committed, own = {"lake": lake.snapshot()}, {"lake": staged.snapshot()}
        command = commands.GetTables(include_schema=True)
        assert names(metadata.rows(command, committed)) == ["lake.main.workers", "lake.sales.orders"]
        assert names(metadata.rows(command, own)) == ["lake.main.staged", "lake.main.workers", "lake.sales.orders"]
        schemas_of = [
            pa.ipc.read_schema(pa.py_buffer(row)) for row in metadata.rows(command, own)["table_schema"].to_pylist()
        ]
        assert schemas_of == [COLUMNS] * 3
        assert metadata.rows(commands.GetDbSchemas(), committed)["db_schema_name"].to_pylist() == ["main", "sales"]
        staged.rollback()


class MetadataServer(fl.FlightServerBase):
    def __init__(self, metadata, lakes):
        super().__init__("grpc://127.0.0.1:0")
        self.metadata = metadata
        self.lakes = lakes

    def get_flight_info(self, context, descriptor):
        schema = schemas.metadata_schema(commands.decode_command(descriptor.command))
        return fl.FlightInfo(schema, descriptor, [fl.FlightEndpoint(descriptor.command, [])], -1, -1)

    def do_get(self, context, ticket):
        return fl.RecordBatchStream(self.metadata.rows(commands.decode_command(ticket.ticket), self.lakes))

    def do_action(self, context, action):
        return None


@pytest.fixture
def connection(metadata, lakes):
    with (
        MetadataServer(metadata, lakes) as server,
        dbapi.connect(f"grpc://127.0.0.1:{server.port}", autocommit=True) as connection,
    ):
        yield connection


def test_adbc_reads_objects(connection):
    objects = connection.adbc_get_objects(depth="all", table_name_filter="workers").read_all().to_pylist()
    assert [catalog["catalog_name"] for catalog in objects] == ["archive", "lake"]
    (main, sales) = objects[1]["catalog_db_schemas"]
    assert (main["db_schema_name"], sales["db_schema_name"]) == ("main", "sales")
    (table,) = main["db_schema_tables"]
    assert (table["table_name"], table["table_type"]) == ("workers", "TABLE")
    columns = {column["column_name"]: column for column in table["table_columns"]}
    assert columns["price"]["xdbc_type_name"] == "DECIMAL(10,2)"
    assert columns["id"]["xdbc_scope_table"] == "workers"
    assert columns["id"]["xdbc_scope_schema"] == "main"


def test_adbc_reads_a_table_schema_and_the_table_types(connection):
    assert connection.adbc_get_table_schema("workers", catalog_filter="lake", db_schema_filter="main") == COLUMNS
    assert connection.adbc_get_table_types() == ["TABLE"]


def test_adbc_reads_the_servers_info(connection):
    info = connection.adbc_get_info()
    assert info["vendor_name"] == "Lakehouse"
    assert info["vendor_version"] == "1.0 (DuckDB 2.0.0)"
    assert info["vendor_arrow_version"] == pa.__version__
