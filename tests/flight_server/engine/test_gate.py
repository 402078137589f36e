"""Nothing but the lake can be reached by SQL."""

import pyarrow as pa
import pytest

from catalog import ErrorKind, LakehouseError

REFUSED = {
    "SELECT * FROM read_csv('/etc/passwd')": "function_not_allowed",
    "SELECT * FROM read_csv_auto('/etc/passwd')": "function_not_allowed",
    "SELECT * FROM read_parquet('lake://1/*.parquet')": "function_not_allowed",
    "SELECT * FROM parquet_scan('lake://1/*.parquet')": "function_not_allowed",
    "SELECT * FROM parquet_metadata('lake://1/*.parquet')": "function_not_allowed",
    "SELECT (SELECT content FROM read_text('/etc/passwd'))": "function_not_allowed",
    "SELECT read_text('/etc/passwd')": "function_not_allowed",
    "SELECT system.main.read_text('/etc/passwd')": "function_not_allowed",
    "SELECT '/etc/passwd'.read_text()": "function_not_allowed",
    "SELECT 1 FROM numbers WHERE EXISTS (FROM read_blob('/etc/*'))": "function_not_allowed",
    "WITH x AS (FROM glob('/*')) FROM x": "function_not_allowed",
    "SELECT [y FOR y IN [getvariable('x')]]": "function_not_allowed",
    "SELECT sum(n) FILTER (WHERE getenv('HOME') = '') FROM numbers": "function_not_allowed",
    "SELECT n FROM numbers ORDER BY current_setting('temp_directory')": "function_not_allowed",
    "SELECT current_setting(word) FROM numbers": "function_not_allowed",
    "SELECT n FROM numbers LIMIT (SELECT count(*) FROM glob('/*'))": "function_not_allowed",
    "FROM sniff_csv('/etc/passwd')": "function_not_allowed",
    "FROM query('SELECT 1')": "function_not_allowed",
    "FROM query_table('numbers')": "function_not_allowed",
    "FROM histogram_values(numbers, n)": "function_not_allowed",
    "FROM duckdb_settings()": "function_not_allowed",
    "FROM duckdb_secrets()": "function_not_allowed",
    "FROM duckdb_databases()": "function_not_allowed",
    "FROM duckdb_views()": "function_not_allowed",
    "FROM duckdb_extensions()": "function_not_allowed",
    "FROM which_secret('s3://x', 's3')": "function_not_allowed",
    "FROM pragma_table_info('numbers')": "function_not_allowed",
    "FROM json_execute_serialized_sql('{}')": "function_not_allowed",
    "SELECT json_serialize_plan('SELECT 1')": "function_not_allowed",
    "SELECT nextval('s')": "function_not_allowed",
    "SELECT setseed(0.5)": "function_not_allowed",
    "SELECT sleep_ms(1000)": "function_not_allowed",
    "SELECT write_log('x')": "function_not_allowed",
    "FROM summary((SELECT * FROM read_text('x')))": "function_not_allowed",
    "SELECT * FROM '/etc/passwd'": "dataset_not_found",
    "SELECT * FROM 'https://example.com/x.parquet'": "dataset_not_found",
    "FROM lake_table": "dataset_not_found",
    "FROM other.main.numbers": "dataset_not_found",
    "FROM duckdb_settings": "dataset_not_found",
    "FROM sqlite_master": "dataset_not_found",
    "FROM pg_catalog.pg_views": "dataset_not_found",
    "FROM information_schema.views": "dataset_not_found",
    "FROM system.main.duckdb_settings": "dataset_not_found",
    "DESCRIBE nothing": "dataset_not_found",
    "SUMMARIZE nothing": "dataset_not_found",
    "SHOW nothing": "dataset_not_found",
    "SHOW VARIABLES": "statement_not_allowed",
    "FROM numbers AT (VERSION => 1)": "time_travel_in_sql",
    "WITH x AS (DELETE FROM numbers RETURNING *) FROM x": "statement_not_allowed",
    "WITH x AS (INSERT INTO numbers VALUES (1, 'a') RETURNING *) FROM x": "statement_not_allowed",
    "WITH x AS (UPDATE numbers SET n = 1 RETURNING *) FROM x": "statement_not_allowed",
    "WITH x AS (COPY numbers TO '/tmp/x') FROM x": "statement_not_allowed",
    "COPY numbers TO '/tmp/x.csv'": "statement_not_allowed",
    "COPY numbers TO 'lake://1/x.parquet'": "statement_not_allowed",
    "COPY numbers FROM '/etc/passwd'": "statement_not_allowed",
    "ATTACH '/tmp/x.db'": "statement_not_allowed",
    "ATTACH ':memory:' AS x": "statement_not_allowed",
    "DETACH lake": "statement_not_allowed",
    "INSTALL httpfs": "statement_not_allowed",
    "LOAD httpfs": "statement_not_allowed",
    "UPDATE EXTENSIONS": "statement_not_allowed",
    "PRAGMA database_list": "statement_not_allowed",
    "CALL pragma_version()": "statement_not_allowed",
    "CHECKPOINT": "statement_not_allowed",
    "VACUUM": "statement_not_allowed",
    "EXPORT DATABASE '/tmp/x'": "statement_not_allowed",
    "IMPORT DATABASE '/tmp/x'": "statement_not_allowed",
    "PREPARE a AS SELECT 1": "statement_not_allowed",
    "EXECUTE a": "statement_not_allowed",
    "DEALLOCATE a": "statement_not_allowed",
    "RESET threads": "statement_not_allowed",
    "SET threads = 1": "setting_not_allowed",
    "SET timezone = 'Europe/Berlin'": "setting_not_allowed",
    "SET VARIABLE x = 1": "setting_not_allowed",
    "SET search_path = 'system'": "setting_not_allowed",
    "CREATE SECRET (TYPE s3)": "statement_not_supported",
    "CREATE MACRO a() AS 1": "statement_not_supported",
    "CREATE VIEW v AS SELECT 1": "statement_not_supported",
    "CREATE TEMP TABLE t (a INTEGER)": "statement_not_supported",
    "PIVOT numbers ON word": "statement_not_supported",
    "EXPLAIN SELECT * FROM read_text('/etc/passwd')": "function_not_allowed",
    "EXPLAIN ANALYZE SELECT * FROM read_text('/etc/passwd')": "function_not_allowed",
    "EXPLAIN COPY numbers TO '/tmp/x'": "statement_not_allowed",
    "EXPLAIN (FORMAT html) SELECT 1": "statement_not_supported",
    "CREATE TABLE t AS SELECT * FROM read_text('/etc/passwd')": "function_not_allowed",
    "INSERT INTO numbers SELECT * FROM read_text('/etc/passwd')": "function_not_allowed",
    "": "empty_statement",
    " -- nothing": "empty_statement",
    "SELECT 1; SELECT 2": "multiple_statements",
    "SELECT 1; DROP TABLE numbers": "multiple_statements",
    "SELEC 1": "syntax_error",
    "SELECT 1\0; SELECT 2": "syntax_error",
    "SELECT '\ud800'": "syntax_error",
}

ALLOWED = {
    "SELECT 1": [(1,)],
    "SELECT 1 -- comment": [(1,)],
    "/* a */ SELECT 1; -- b": [(1,)],
    ";SELECT 1;;": [(1,)],
    "FROM numbers SELECT count(*)": [(10,)],
    "TABLE numbers LIMIT 1": [(0, "word 0")],
    "VALUES (1, 'a'), (2, 'b')": [(1, "a"), (2, "b")],
    "WITH numbers AS (SELECT max(n) AS m FROM numbers) SELECT m FROM numbers": [(9,)],
    "WITH RECURSIVE t AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM t WHERE a < 3) SELECT sum(a) FROM t": [(6,)],
    "SELECT count(*) FROM range(5), generate_series(1, 2), unnest([1, 2, 3])": [(30,)],
    "SELECT (SELECT max(n) FROM numbers WHERE n < m.n) FROM numbers AS m WHERE n = 5": [(4,)],
    "SELECT n FROM numbers WHERE n IN (SELECT n FROM numbers WHERE n > 8)": [(9,)],
    "SELECT * FROM (PIVOT numbers ON n IN (1, 2) USING count(*) GROUP BY n) WHERE n = 2": None,
    "SELECT sum(n) OVER (ORDER BY n) FROM numbers LIMIT 1": [(0,)],
    "SELECT list_transform([1, 2], lambda x: x + 1)": [([2, 3],)],
    "SELECT x FROM (VALUES (1), (2)) AS t(x) QUALIFY row_number() OVER (ORDER BY x DESC) = 1": [(2,)],
    "SELECT current_database(), current_schema()": [("lake", "main")],
    "SELECT current_setting('TimeZone')": [("UTC",)],
    "SELECT * FROM numbers AS a JOIN numbers AS b USING (n) WHERE n = 1": [(1, "word 1", "word 1")],
    "SELECT * FROM numbers TABLESAMPLE 100% LIMIT 0": [],
    "SELECT 1 AS a UNION ALL BY NAME SELECT 2 AS a EXCEPT SELECT 2": [(1,)],
    "SELECT key FROM json_each('{\"a\": 1}')": [("a",)],
    "DESCRIBE numbers": None,
    "DESCRIBE SELECT 1": None,
    "SUMMARIZE numbers": None,
    "SHOW numbers": None,
    "FROM (DESCRIBE numbers) SELECT column_name": [("n",), ("word",)],
    "EXPLAIN SELECT * FROM numbers": None,
    "EXPLAIN ANALYZE SELECT * FROM numbers": None,
    "EXPLAIN (FORMAT JSON) SELECT * FROM numbers": None,
    "EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM numbers; -- done": None,
}


@pytest.mark.parametrize("sql", REFUSED, ids=lambda sql: repr(sql)[:60])
def test_a_statement_that_reaches_outside_is_refused(query, sql):
    with pytest.raises(LakehouseError) as refused:
        query(sql) if query.engine.parse(sql).kind.reads else None
    assert refused.value.code == REFUSED[sql]
    assert refused.value.kind is not ErrorKind.INTERNAL


@pytest.mark.parametrize("sql", ALLOWED, ids=lambda sql: sql[:60])
def test_a_statement_that_only_reads_runs(query, sql):
    rows = query.rows(sql)
    assert rows if ALLOWED[sql] is None else rows == ALLOWED[sql]


@pytest.mark.parametrize("sql", ["COPY (SELECT 1) TO 'lake://1/000000000.parquet'", "COPY numbers TO '/tmp/x'"])
def test_without_the_gate_the_instance_still_writes_nothing(query, sql):
    """The instance is a wall of its own."""
    query("SELECT * FROM numbers")
    (instance,) = query.engine._pool._idle
    with pytest.raises(Exception, match=r"."):
        instance.connection.execute(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('lake://1/000000000.parquet')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM '/etc/passwd'",
        "FROM numbers",
        "ATTACH '/tmp/x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 1",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "SET temp_directory = '/tmp'",
        "CREATE SECRET (TYPE s3)",
        "EXPORT DATABASE '/tmp/x'",
        "PRAGMA enable_profiling = 'json'; SET profiling_output = '/tmp/x'",
    ],
)
def test_without_the_gate_the_instance_still_reaches_nothing(query, sql):
    """Not even the dataset of the statement before: what it could open was taken back."""
    query("SELECT * FROM numbers")
    (instance,) = query.engine._pool._idle
    with pytest.raises(Exception, match=r"."):
        instance.connection.execute(sql).fetchall()


def test_a_long_statement_is_refused_by_its_bytes(engines, query):
    engine = engines(max_sql_bytes=1024)
    engine.parse(f"SELECT '{'x' * 1000}'")
    with pytest.raises(LakehouseError, match="sql_too_large"):
        engine.parse(f"SELECT '{'é' * 520}'")


def test_deep_nesting_ends_in_an_error_not_in_a_crash(query):
    with pytest.raises(LakehouseError):
        query(f"SELECT {'(' * 3000}1{')' * 3000}")
    with pytest.raises(LakehouseError):
        query("SELECT " + "+".join(["1"] * 3000))


def test_every_table_function_of_duckdb_is_either_listed_or_refused(query):
    """A new version of DuckDB cannot add a hole through a function in FROM."""
    names = query("SELECT DISTINCT function_name AS name FROM duckdb_functions() WHERE function_type LIKE 'table%'")
    for name in names["name"].to_pylist():
        try:
            query.engine.parse(f'FROM "{name}"(1)')
        except LakehouseError as error:
            assert error.code == "function_not_allowed", name  # noqa: PT017


def test_a_parameter_cannot_smuggle_sql(query):
    assert query.rows("SELECT count(*) FROM numbers WHERE word = ?", "x' OR 1=1 --") == [(0,)]
    assert query.rows("SELECT ? AS v", pa.array(["'; DROP TABLE numbers; --"])) == [("'; DROP TABLE numbers; --",)]
