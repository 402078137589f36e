"""Statements that change a lake are taken apart into slices of the user's own text."""

import pyarrow as pa
import pytest

from catalog import LakehouseError
from flight_server.engine import StatementKind as Kind

PARTS = {
    "INSERT INTO t VALUES (1, 'a')": (Kind.INSERT, ("t",), {"source_sql": "VALUES (1, 'a')"}),
    "insert into a.b.t (x, \"Y z\") select 1, ';--' from numbers -- c": (
        Kind.INSERT,
        ("a", "b", "t"),
        {"columns": ("x", "Y z"), "source_sql": "select 1, ';--' from numbers"},
    ),
    'INSERT INTO "odd ""name" BY NAME FROM numbers;': (
        Kind.INSERT,
        ('odd "name',),
        {"by_name": True, "source_sql": "FROM numbers"},
    ),
    "INSERT INTO t (SELECT 1)": (Kind.INSERT, ("t",), {"columns": None, "source_sql": "(SELECT 1)"}),
    "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x": (
        Kind.INSERT,
        ("t",),
        {"source_sql": "WITH x AS (SELECT 1)\nSELECT * FROM x"},
    ),
    "INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x": (
        Kind.INSERT,
        ("t",),
        {"source_sql": "WITH x AS (SELECT 1) SELECT * FROM x"},
    ),
    "INSERT INTO t VALUES (?, ?)": (Kind.INSERT, ("t",), {"parameter_count": 2}),
    "CREATE TABLE t AS SELECT 'é' AS a": (Kind.CREATE_TABLE_AS, ("t",), {"source_sql": "SELECT 'é' AS a"}),
    "CREATE OR REPLACE TABLE s.t AS FROM numbers": (
        Kind.CREATE_TABLE_AS,
        ("s", "t"),
        {"or_replace": True, "source_sql": "FROM numbers"},
    ),
    "CREATE TABLE IF NOT EXISTS t (a INTEGER)": (Kind.CREATE_TABLE, ("t",), {"if_not_exists": True}),
    "DROP TABLE IF EXISTS t": (Kind.DROP_TABLE, ("t",), {"if_exists": True}),
    "DROP TABLE t": (Kind.DROP_TABLE, ("t",), {"if_exists": False}),
    "DELETE FROM t": (Kind.DELETE, ("t",), {}),
    "TRUNCATE t": (Kind.TRUNCATE, ("t",), {}),
    "TRUNCATE TABLE s.t": (Kind.TRUNCATE, ("s", "t"), {}),
    "CREATE SCHEMA IF NOT EXISTS s": (Kind.CREATE_SCHEMA, ("s",), {"if_not_exists": True}),
    "CREATE SCHEMA lake.s": (Kind.CREATE_SCHEMA, ("lake", "s"), {}),
    "DROP SCHEMA s": (Kind.DROP_SCHEMA, ("s",), {}),
    "BEGIN": (Kind.BEGIN, (), {}),
    "BEGIN TRANSACTION": (Kind.BEGIN, (), {}),
    "START TRANSACTION": (Kind.BEGIN, (), {}),
    "COMMIT": (Kind.COMMIT, (), {}),
    "END": (Kind.COMMIT, (), {}),
    "ROLLBACK;": (Kind.ROLLBACK, (), {}),
    "ABORT": (Kind.ROLLBACK, (), {}),
    "USE lake": (Kind.USE, ("lake",), {}),
    "USE lake.side": (Kind.USE, ("lake", "side"), {}),
    "SET timezone='UTC'": (Kind.SET, ("timezone", "UTC"), {}),
    "SET TIME ZONE 'utc'": (Kind.SET, ("timezone", "UTC"), {}),
    "SELECT 1; -- done": (Kind.QUERY, (), {"sql": "SELECT 1"}),
    "EXPLAIN SELECT ?": (Kind.EXPLAIN, (), {"parameter_count": 1}),
}

UNSUPPORTED = {
    "INSERT INTO t VALUES (1) RETURNING *": "RETURNING",
    "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING": "ON CONFLICT",
    "INSERT OR REPLACE INTO t VALUES (1)": "INSERT OR REPLACE",
    "INSERT INTO t DEFAULT VALUES": "DEFAULT VALUES",
    "DELETE FROM t WHERE a = 1": "DELETE … WHERE",
    "DELETE FROM t USING u WHERE t.a = u.a": "DELETE … USING",
    "DELETE FROM t RETURNING *": "DELETE … RETURNING",
    "UPDATE t SET a = 1": "UPDATE",
    "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE": "MERGE INTO",
    "ALTER TABLE t ADD COLUMN b INTEGER": "ALTER",
    "CREATE TABLE t (a INTEGER PRIMARY KEY)": "PRIMARY",
    "CREATE TABLE t (a INTEGER, PRIMARY KEY (a))": "PRIMARY",
    "CREATE TABLE t (a INTEGER UNIQUE)": "UNIQUE",
    "CREATE TABLE t (a INTEGER CHECK (a > 0))": "CHECK",
    "CREATE TABLE t (a INTEGER DEFAULT 1)": "DEFAULT",
    "CREATE TABLE t (a INTEGER REFERENCES u (a))": "REFERENCES",
    "CREATE TABLE t (a INTEGER, b INTEGER GENERATED ALWAYS AS (a + 1))": "GENERATED",
    "CREATE TABLE t (a) AS SELECT 1": "column list",
    "CREATE VIEW v AS SELECT 1": "CREATE VIEW",
    "CREATE INDEX i ON t (a)": "CREATE INDEX",
    "CREATE TYPE e AS ENUM ('a')": "CREATE TYPE",
    "CREATE SEQUENCE s": "CREATE SEQUENCE",
    "DROP VIEW v": "DROP VIEW",
    "DROP SCHEMA s CASCADE": "CASCADE",
    "COMMENT ON TABLE t IS 'x'": "ALTER",
}


@pytest.mark.parametrize("sql", PARTS, ids=lambda sql: sql[:50])
def test_a_statement_is_taken_apart(engine, sql):
    statement = engine.parse(sql)
    kind, target, parts = PARTS[sql]
    assert (statement.kind, statement.target) == (kind, target)
    assert {name: getattr(statement, name) for name in parts} == parts


@pytest.mark.parametrize("sql", UNSUPPORTED, ids=lambda sql: sql[:50])
def test_what_is_not_supported_is_named(engine, sql):
    with pytest.raises(LakehouseError) as refused:
        engine.parse(sql)
    assert refused.value.code == "statement_not_supported"
    assert UNSUPPORTED[sql] in refused.value.message


def test_column_definitions_become_an_arrow_schema(engine):
    statement = engine.parse("""
        CREATE TABLE t (
            id BIGINT NOT NULL, -- the key
            "odd, name" VARCHAR(20) NULL,
            price DECIMAL(10, 2),
            moment TIMESTAMP WITH TIME ZONE NOT NULL,
            tags VARCHAR[],
            point STRUCT(x DOUBLE, y DOUBLE),
            pair INTEGER[2],
            attributes MAP(VARCHAR, INTEGER),
            kind ENUM('a', 'b')
        )
    """)
    schema = statement.schema
    assert schema.names == ["id", "odd, name", "price", "moment", "tags", "point", "pair", "attributes", "kind"]
    assert [field.name for field in schema if not field.nullable] == ["id", "moment"]
    assert schema.field("price").type == pa.decimal128(10, 2)
    assert schema.field("moment").type == pa.timestamp("us", "UTC")
    assert schema.field("tags").type.value_type == pa.string()
    assert schema.field("pair").type.list_size == 2
    assert schema.field("kind").type == pa.string()


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t (a nosuchtype)",
        "CREATE TABLE t (a)",
        "CREATE TABLE t ()",
        "CREATE TABLE t (a INTEGER NOT NULL x)",
        "CREATE TABLE t (a INTEGER) WITH (x = 1)",
    ],
)
def test_a_wrong_definition_is_an_error_of_the_caller(engine, sql):
    with pytest.raises(LakehouseError) as refused:
        engine.parse(sql)
    assert refused.value.code in {"syntax_error", "binder_error", "statement_not_supported"}


def test_create_table_as_has_the_schema_of_its_query(query):
    statement = query.engine.parse("CREATE TABLE t AS SELECT n, word AS w, ? AS p FROM numbers")
    parameters = pa.record_batch({"1": pa.array([1.5])})
    schema = query.engine.table_schema(statement, parameters, query.scope())
    assert schema == pa.schema([("n", pa.int64()), ("w", pa.string()), ("p", pa.float64())])


TARGET = pa.schema([("day", pa.date32()), ("amount", pa.decimal128(5, 1)), ("word", pa.string())])

INSERTS = {
    "INSERT INTO t VALUES ('2024-01-02', 1.25, 7)": [("2024-01-02", "1.3", "7")],
    "INSERT INTO t (word, day) VALUES ('a', DATE '2024-01-02'), (NULL, NULL)": [
        ("2024-01-02", None, "a"),
        (None, None, None),
    ],
    "INSERT INTO t (WORD) SELECT word FROM numbers WHERE n = 3": [(None, None, "word 3")],
    "INSERT INTO t BY NAME SELECT 5 AS Amount, 'x' AS word": [(None, "5.0", "x")],
    "WITH w AS (SELECT 'q' AS q) INSERT INTO t (word) SELECT q FROM w -- end": [(None, None, "q")],
}


@pytest.mark.parametrize("sql", INSERTS, ids=lambda sql: sql[:50])
def test_an_insert_casts_its_source_to_the_columns_of_its_target(query, sql):
    source = query.engine.insert_source(query.engine.parse(sql), TARGET, None, query.scope())
    table = query(source)
    assert table.schema == TARGET
    rows = [tuple(None if value is None else str(value) for value in row.values()) for row in table.to_pylist()]
    assert rows == INSERTS[sql]


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("INSERT INTO t VALUES (1, 2)", "column_count"),
        ("INSERT INTO t SELECT 1, 2, 3, 4", "column_count"),
        ("INSERT INTO t (day) VALUES (1, 2)", "column_count"),
        ("INSERT INTO t (nope) VALUES (1)", "column_not_found"),
        ("INSERT INTO t (day, DAY) VALUES (1, 2)", "duplicate_column"),
        ("INSERT INTO t BY NAME SELECT 1 AS nope", "column_not_found"),
    ],
)
def test_an_insert_that_does_not_fit_is_refused_before_it_runs(query, sql, code):
    with pytest.raises(LakehouseError, match=code):
        query.engine.insert_source(query.engine.parse(sql), TARGET, None, query.scope())


def test_an_insert_takes_parameters(query):
    statement = query.engine.parse("INSERT INTO t (word, amount) VALUES (?, ?)")
    parameters = pa.record_batch({"1": pa.array(["a", "b"]), "2": pa.array([1, 2])})
    source = query.engine.insert_source(statement, TARGET, parameters, query.scope())
    with query.engine.execute(source, parameters, query.scope()) as stream:
        assert pa.Table.from_batches(stream)["word"].to_pylist() == ["a", "b"]
