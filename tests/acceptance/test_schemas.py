"""What a client is promised is what it gets: GetSchema, FlightInfo, prepared statement and stream have one schema."""

import json

import pyarrow as pa
import pyarrow.flight as fl
import pytest
from flight_calls import put

PEOPLE = pa.table(
    {
        "id": pa.array([1, 2, 3, None], pa.int32()),
        "Name": ["Ada", "Bob", None, "Żółw"],
        "tags": pa.array([["a"], [], None, ["b", None]], pa.list_(pa.string())),
        "at": pa.array([1, 2, None, 4], pa.timestamp("us", "UTC")),
        "pair": pa.array([[1, 2], None, [3, 4], [5, 6]], pa.list_(pa.int32(), 2)),
        "took": pa.array([1_000, None, 2_000, 3_000], pa.duration("us")),
        "cost": pa.array([None] * 4, pa.decimal128(12, 2)),
        "nothing": pa.nulls(4),
    },
    pa.schema(
        [
            pa.field("id", pa.int32()),
            pa.field("Name", pa.string()),
            pa.field("tags", pa.list_(pa.string())),
            pa.field("at", pa.timestamp("us", "UTC")),
            pa.field("pair", pa.list_(pa.int32(), 2)),
            pa.field("took", pa.duration("us")),
            pa.field("cost", pa.decimal128(12, 2)),
            pa.field("nothing", pa.null()),
        ]
    ),
)
STRICT = pa.table(
    {"k": [1, 2], "v": ["a", "b"]}, pa.schema([pa.field("k", pa.int64(), False), pa.field("v", pa.string())])
)

VALUES = [
    "1", "1::TINYINT", "1::USMALLINT", "1::UBIGINT", "1::HUGEINT", "1::UHUGEINT", "1.5", "1.5::REAL", "1.5::DOUBLE",
    "1::DECIMAL(4,1)", "1::DECIMAL(38,0)", "true", "NULL", "'a'", "'a'::BLOB", "'101'::BIT", "'a'::ENUM('a', 'b')", "uuid()",
    "'2020-01-01'::DATE", "'12:00'::TIME", "'12:00:00+01'::TIMETZ", "'12:00'::TIME_NS", "'2020-01-01'::TIMESTAMP",
    "'2020-01-01'::TIMESTAMP_S", "'2020-01-01'::TIMESTAMP_MS", "'2020-01-01'::TIMESTAMP_NS", "'2020-01-01'::TIMESTAMPTZ",
    "INTERVAL 1 MONTH", "[1, 2]", "[[1], NULL]", "[]", "[1, 2]::INTEGER[2]", "{'a': 1, 'b': [{'c': 'x'}]}", "MAP {'a': 1}",
    "MAP {}", "union_value(n := 1)", "'{}'::JSON", "[uuid()]", "{'e': 'a'::ENUM('a'), 't': '12:00:00+01'::TIMETZ}", "row(1, 'a')",
    "'1'::VARIANT", "'123456789012345678901234567890123456789012'::BIGNUM",
    "now()", "current_date", "current_timestamp", "version()", "pi()", "random()", "hash('a')",
]  # fmt: skip
STATEMENTS = [
    "FROM people", "SELECT * FROM people WHERE false", "SELECT id, id FROM people", "SELECT id AS x, Name AS x FROM people",
    "SELECT count(*), sum(id), avg(id), min(Name), max(people.at), list(Name), histogram(id) FROM people", "SELECT sum(cost) FROM people",
    "SELECT Name, count(*) FROM people GROUP BY ALL", "SELECT id, rank() OVER (ORDER BY id) FROM people",
    "SELECT unnest(tags) FROM people", "SELECT unnest({'a': 1, 'b': 2})", "SELECT * FROM people JOIN strict ON id = k",
    "SELECT * FROM people NATURAL JOIN (SELECT 1 AS id)", "SELECT * FROM strict LEFT JOIN people ON k = id",
    "SELECT id FROM people UNION ALL SELECT 1.5", "SELECT id FROM people UNION SELECT NULL", "SELECT NULL UNION SELECT 'a'",
    "WITH RECURSIVE t AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM t WHERE a < 5) FROM t", "FROM people LIMIT 0",
    "SELECT took + INTERVAL 1 DAY, pair[1], tags[1], people.at::DATE FROM people", "SELECT COLUMNS('i.*') FROM people",
    "SELECT id IN (SELECT k FROM strict) FROM people", "SELECT (SELECT max(k) FROM strict)", "VALUES (1, 'a'), (NULL, NULL)",
    "FROM range(3)", "FROM generate_series(1, 3)", "SELECT * EXCLUDE (hugeint, uhugeint, bignum) FROM test_all_types()", "SELECT * FROM (PIVOT people ON id IN (1, 2) USING count(*))",
    "SELECT * FROM (UNPIVOT (SELECT 1 AS a, 2 AS b) ON a, b)",
    "DESCRIBE people", "DESCRIBE SELECT 1", "SHOW TABLES", "SHOW ALL TABLES", "SHOW DATABASES", "SHOW SCHEMAS", "SUMMARIZE strict",
    "EXPLAIN FROM people", "EXPLAIN ANALYZE FROM people", "EXPLAIN (FORMAT JSON) SELECT 1", "FROM information_schema.tables",
    "FROM information_schema.columns", "FROM information_schema.schemata", "FROM duckdb_tables()", "FROM duckdb_columns()",
    "FROM duckdb_functions() LIMIT 10", "FROM duckdb_types() LIMIT 10", "FROM pragma_version()", "FROM json_each('{\"a\": 1}')",
    'SELECT 1 AS "a b", 2 AS """", 3 AS "żółw"', "SELECT 'a' COLLATE NOCASE", "SELECT * EXCLUDE (id) REPLACE (1 AS Name) FROM people",
    "SELECT lake.main.people.id FROM lake.main.people", "FROM strict ORDER BY k DESC LIMIT 1", "TABLE strict",
    "SELECT range AS n FROM range(300_000)", "SELECT repeat('x', 3_000_000) AS big", "SELECT repeat('x', 1000) FROM range(5000)",
]  # fmt: skip
STATEMENTS += [f"SELECT {value} AS v" for value in VALUES] + [f"SELECT {value}" for value in VALUES]


@pytest.fixture(scope="module")
def client(local):
    with local.client() as connected:
        put(connected, "people", PEOPLE)
        put(connected, "strict", STRICT)
        yield connected


@pytest.fixture(scope="module")
def connection(local):
    with local.adbc() as connected:
        yield connected


@pytest.mark.parametrize("sql", STATEMENTS)
def test_every_way_to_a_result_gives_one_schema(local, client, connection, sql):
    descriptor = fl.FlightDescriptor.for_command(sql.encode())
    promised = client.get_schema(descriptor).schema
    info = client.get_flight_info(descriptor)
    reader = client.do_get(info.endpoints[0].ticket)
    rows = 0
    for chunk in reader:
        assert chunk.data.schema.equals(reader.schema, check_metadata=True)
        assert chunk.data.get_total_buffer_size() <= (2 << 20) + 65_536 or chunk.data.num_rows == 1
        rows += chunk.data.num_rows
    assert info.schema.equals(reader.schema, check_metadata=True)
    assert promised.equals(reader.schema, check_metadata=True)
    assert info.total_records in {-1, rows}

    with connection.cursor() as cursor:
        described = cursor.adbc_execute_schema(sql)
        cursor.execute(sql)
        stream = cursor.fetch_record_batch()
        assert described.equals(stream.schema, check_metadata=True)
        assert sum(batch.num_rows for batch in stream) == rows or "random" in sql
        assert [(field.name, field.type) for field in stream.schema] == [(f.name, f.type) for f in reader.schema]

    answer = local.http.sql(sql, format="arrow")
    assert answer.status == 200, answer.body
    assert pa.ipc.open_stream(answer.body).schema.equals(reader.schema, check_metadata=True)


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT ?::INTEGER AS a, ?::VARCHAR AS b", (1, "a")),
        ("SELECT id + ? AS a FROM people WHERE Name = ?", (1, "Ada")),
        ("SELECT $2::DATE AS a, $1::DOUBLE AS b", (1.5, "2020-01-01")),
        ("FROM people WHERE id > ? ORDER BY id LIMIT ?", (0, 2)),
        ("SELECT ? IS NULL AS n", (None,)),
    ],
)
def test_a_statement_with_parameters_keeps_the_schema_that_was_planned(client, connection, sql, parameters):
    command = json.dumps({"sql": sql, "params": parameters}).encode()
    info = client.get_flight_info(fl.FlightDescriptor.for_command(command))
    assert client.do_get(info.endpoints[0].ticket).read_all().schema.equals(info.schema, check_metadata=True)
    with connection.cursor() as cursor:
        described = cursor.adbc_prepare(sql)
        assert len(described) == len(parameters)
        cursor.execute(sql, parameters)
        assert cursor.fetch_arrow_table().num_rows >= 1


@pytest.mark.parametrize("text_format", ["json", "ndjson"])
@pytest.mark.parametrize("sql", ["FROM people", "SELECT 1 AS a", "FROM people WHERE false"])
def test_a_result_as_text_keeps_the_schema_that_was_promised(client, sql, text_format):
    descriptor = fl.FlightDescriptor.for_command(json.dumps({"sql": sql, "format": text_format}).encode())
    info = client.get_flight_info(descriptor)
    assert info.schema == pa.schema([(text_format, pa.string())])
    assert client.get_schema(descriptor).schema.equals(info.schema, check_metadata=True)
    assert client.do_get(info.endpoints[0].ticket).read_all().schema.equals(info.schema, check_metadata=True)


def test_a_statement_with_an_effect_has_the_schema_that_was_promised_and_runs_once(local, client):
    for sql in (
        "CREATE TABLE made AS SELECT 1 AS a",
        "INSERT INTO made VALUES (2), (3)",
        "DELETE FROM made",
        "DROP TABLE made",
    ):
        descriptor = fl.FlightDescriptor.for_command(sql.encode())
        promised = client.get_schema(descriptor).schema
        info = client.get_flight_info(descriptor)
        first, second = (client.do_get(info.endpoints[0].ticket).read_all() for _ in range(2))
        assert first == second
        assert promised == info.schema == first.schema == pa.schema([("Count", pa.int64())])
    assert local.http("GET", "/v1/datasets/made").status == 404


@pytest.mark.parametrize("name", ["people", "strict"])
def test_a_path_gives_the_schema_of_its_dataset(client, connection, name):
    descriptor = fl.FlightDescriptor.for_path(name)
    info = client.get_flight_info(descriptor)
    table = client.do_get(info.endpoints[0].ticket).read_all()
    assert info.schema.equals(table.schema, check_metadata=True)
    assert client.get_schema(descriptor).schema.equals(table.schema, check_metadata=True)
    assert info.total_records == table.num_rows
    [listed] = [
        flight
        for flight in client.list_flights()
        if flight.descriptor.path and flight.descriptor.path[-1] == name.encode()
    ]
    assert listed.schema.equals(table.schema, check_metadata=True)
    assert connection.adbc_get_table_schema(name).types == table.schema.types
