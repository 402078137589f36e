"""SQL reaches the lake and nothing else: no file, no network, no setting, no secret, whatever it is wrapped in."""

import json
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.flight as fl
import pytest
from clean_answers import may_be_refused, refused
from flight_calls import put, query

CANARY = "canary-that-must-not-sing"
FUNCTION = ("function_not_allowed",)
NEVER = ("statement_not_allowed",)
MISSING = ("dataset_not_found",)
NOT_YET = ("statement_not_supported", "statement_not_allowed")
SETTING = ("setting_not_allowed", "statement_not_allowed")

TABLE_SOURCES = {
    "read_csv('{csv}')": FUNCTION,
    "read_csv_auto('{csv}')": FUNCTION,
    "read_csv(['{csv}', '{csv}'])": FUNCTION,
    "READ_CSV('{csv}')": FUNCTION,
    "\"read_csv\"('{csv}')": FUNCTION,
    "system.main.read_csv('{csv}')": FUNCTION,
    "read_text('{csv}')": FUNCTION,
    "read_text('/etc/passwd')": FUNCTION,
    "read_text('file://{csv}')": FUNCTION,
    "read_blob('{csv}')": FUNCTION,
    "read_json('{csv}')": FUNCTION,
    "read_json_auto('{csv}')": FUNCTION,
    "read_json_objects('{csv}')": FUNCTION,
    "read_ndjson('{csv}')": FUNCTION,
    "read_ndjson_auto('{csv}')": FUNCTION,
    "read_ndjson_objects('{csv}')": FUNCTION,
    "read_parquet('{parquet}')": FUNCTION,
    "read_parquet('lake://1/000000000.parquet')": FUNCTION,
    "read_parquet('lake://**')": FUNCTION,
    "read_blob('lake://0/000000000.parquet')": FUNCTION,
    "read_text('lake://x/../../etc/passwd')": FUNCTION,
    "read_duckdb('{csv}')": FUNCTION,
    "read_xlsx('{csv}')": FUNCTION,
    "parquet_scan('{parquet}')": FUNCTION,
    "parquet_metadata('{parquet}')": FUNCTION,
    "parquet_schema('{parquet}')": FUNCTION,
    "parquet_file_metadata('{parquet}')": FUNCTION,
    "parquet_kv_metadata('{parquet}')": FUNCTION,
    "parquet_bloom_probe('{parquet}', 'a', 1)": FUNCTION,
    "sniff_csv('{csv}')": FUNCTION,
    "glob('{folder}/*')": FUNCTION,
    "glob('lake://*')": FUNCTION,
    "query('FROM read_text(''{csv}'')')": FUNCTION,
    "query_table('{csv}')": FUNCTION,
    "query_table(['numbers'])": FUNCTION,
    "duckdb_settings()": FUNCTION,
    "duckdb_secrets()": FUNCTION,
    "duckdb_databases()": FUNCTION,
    "duckdb_extensions()": FUNCTION,
    "duckdb_logs()": FUNCTION,
    "duckdb_log_contexts()": FUNCTION,
    "duckdb_temporary_files()": FUNCTION,
    "duckdb_memory()": FUNCTION,
    "duckdb_variables()": FUNCTION,
    "duckdb_prepared_statements()": FUNCTION,
    "duckdb_external_file_cache()": FUNCTION,
    "duckdb_views()": FUNCTION,
    "duckdb_approx_database_count()": FUNCTION,
    "which_secret('s3://bucket/x', 's3')": FUNCTION,
    "pragma_database_size()": FUNCTION,
    "pragma_table_info('numbers')": FUNCTION,
    "pragma_storage_info('numbers')": FUNCTION,
    "pragma_user_agent()": FUNCTION,
    "json_execute_serialized_sql('{{}}')": FUNCTION,
    "arrow_scan(1, 2, 3)": FUNCTION,
    "pandas_scan(1)": FUNCTION,
    "python_map_function(1)": FUNCTION,
    "sqlite_scan('{csv}', 'x')": FUNCTION,
    "postgres_scan('host=localhost', 'x', 'y')": FUNCTION,
    "delta_scan('{folder}')": FUNCTION,
    "iceberg_scan('{folder}')": FUNCTION,
    "load_aws_credentials()": FUNCTION,
    "checkpoint()": FUNCTION,
    "force_checkpoint()": FUNCTION,
    "'{csv}'": MISSING,
    '"{csv}"': MISSING,
    "'{parquet}'": MISSING,
    "'https://127.0.0.1:1/x.csv'": MISSING,
    "'s3://bucket/x.parquet'": MISSING,
    "'lake://1/000000000.parquet'": MISSING,
    "duckdb_settings": MISSING,
    "duckdb_secrets": MISSING,
    "pg_catalog.pg_settings": MISSING,
    "system.main.duckdb_settings": MISSING,
    "temp.main.x": MISSING,
    "sqlite_master": MISSING,
}
"""What may stand behind FROM, and how it is refused."""

TABLE_WRAPPERS = {
    "select": "SELECT * FROM {source}",
    "sub-select": "SELECT (SELECT count(*) FROM {source}) AS n",
    "CTE": "WITH c AS (SELECT * FROM {source}) SELECT * FROM c",
    "EXISTS": "SELECT n FROM numbers WHERE EXISTS (SELECT 1 FROM {source})",
    "union": "SELECT 1 AS n UNION ALL SELECT count(*) FROM {source}",
    "lateral join": "SELECT * FROM numbers, LATERAL (SELECT count(*) FROM {source}) AS x",
    "EXPLAIN": "EXPLAIN SELECT * FROM {source}",
    "EXPLAIN ANALYZE": "EXPLAIN ANALYZE SELECT * FROM {source}",
    "DESCRIBE": "DESCRIBE SELECT * FROM {source}",
    "SUMMARIZE": "SUMMARIZE SELECT * FROM {source}",
    "INSERT": "INSERT INTO numbers SELECT 1 FROM {source}",
    "CREATE TABLE AS": "CREATE TABLE stolen AS SELECT * FROM {source}",
}

FUNCTIONS = [
    "getenv('CANARY')", "main.getenv('CANARY')", "current_setting('temp_directory')", "current_setting('secret_directory')",
    "getvariable('x')", "read_text('{csv}')", "read_blob('{csv}')", "write_log('x')", "nextval('s')", "set_config('a', 'b')",
    "json_serialize_plan('FROM read_text(''{csv}'')')", "which_secret('a', 'b')", "parse_duckdb_log_message('a', 'b')",
]  # fmt: skip
FUNCTION_WRAPPERS = [
    "SELECT {f} AS v",
    "SELECT n FROM numbers WHERE {f} IS NOT NULL",
    "SELECT n FROM numbers ORDER BY {f}",
    "SELECT list_transform([1], lambda x: {f}) AS v",
    "SELECT CASE WHEN true THEN {f} END AS v",
    "WITH c AS (SELECT {f} AS v) SELECT v FROM c",
    "INSERT INTO numbers SELECT length({f}::VARCHAR)",
    "INSERT INTO numbers VALUES (length({f}::VARCHAR))",
    "CREATE TABLE stolen AS SELECT {f} AS v",
]

STATEMENTS = {
    "COPY numbers TO '{folder}/out.csv'": NEVER,
    "COPY (SELECT 1) TO '{folder}/out.parquet' (FORMAT parquet)": NEVER,
    "COPY numbers TO 'lake://1/000000000.parquet'": NEVER,
    "COPY numbers FROM '{csv}'": NEVER,
    "COPY FROM DATABASE lake TO temp": NEVER,
    "ATTACH '{folder}/x.db'": NEVER,
    "ATTACH IF NOT EXISTS '{folder}/x.db' AS x": NEVER,
    "ATTACH ':memory:' AS x": NEVER,
    "ATTACH 'https://127.0.0.1:1/x.db' AS x": NEVER,
    "DETACH lake": NEVER,
    "INSTALL httpfs": NEVER,
    "FORCE INSTALL httpfs": NEVER,
    "LOAD httpfs": NEVER,
    "LOAD '{folder}/x.duckdb_extension'": NEVER,
    "UPDATE EXTENSIONS": NEVER,
    "SET threads = 1": SETTING,
    "SET GLOBAL enable_external_access = true": SETTING,
    "SET lock_configuration = false": SETTING,
    "SET allowed_directories = ['/']": SETTING,
    "SET temp_directory = '{folder}'": SETTING,
    "SET home_directory = '{folder}'": SETTING,
    "SET profiling_output = '{folder}/out.json'": SETTING,
    "SET log_query_path = '{folder}/out.log'": SETTING,
    "SET VARIABLE x = 1": SETTING,
    "SET search_path = 'system'": SETTING,
    "RESET threads": SETTING,
    "RESET ALL": (*SETTING, "syntax_error", "dataset_not_found"),
    "PRAGMA database_list": NEVER,
    "PRAGMA version": NEVER,
    "PRAGMA enable_profiling": NEVER,
    "PRAGMA table_info('numbers')": NEVER,
    "PRAGMA threads = 1": (*NEVER, *SETTING),
    "PRAGMA import_database('{folder}')": NEVER,
    "EXPORT DATABASE '{folder}'": NEVER,
    "IMPORT DATABASE '{folder}'": NEVER,
    "CREATE SECRET (TYPE s3, KEY_ID 'a', SECRET 'b')": NOT_YET,
    "CREATE PERSISTENT SECRET s IN local_file (TYPE s3)": (*NOT_YET, "syntax_error"),
    "DROP SECRET s": NOT_YET,
    "CREATE MACRO m() AS TABLE FROM read_text('{csv}')": NOT_YET,
    "CREATE FUNCTION f() AS getenv('CANARY')": NOT_YET,
    "CREATE VIEW v AS FROM read_text('{csv}')": NOT_YET,
    "CREATE OR REPLACE TEMP VIEW v AS FROM '{csv}'": NOT_YET,
    "CREATE TEMP TABLE t AS FROM '{csv}'": NOT_YET,
    "CREATE SEQUENCE s": NOT_YET,
    "CREATE TYPE t AS ENUM (SELECT content FROM read_text('{csv}'))": NOT_YET,
    "PREPARE p AS SELECT * FROM read_text('{csv}')": NEVER,
    "EXECUTE p": NEVER,
    "CALL pragma_version()": NEVER,
    "CALL read_text('{csv}')": NEVER,
    "CHECKPOINT": NEVER,
    "FORCE CHECKPOINT": NEVER,
    "VACUUM": NEVER,
    "ANALYZE": NEVER,
    "WITH x AS (COPY numbers TO '{folder}/out.csv') FROM x": (*NEVER, "syntax_error"),
    "EXPLAIN COPY numbers TO '{folder}/out.csv'": NEVER,
    "EXPLAIN ATTACH '{folder}/x.db'": (*NEVER, "syntax_error"),
    "SELECT 1; SELECT * FROM read_text('{csv}')": ("multiple_statements",),
    "SELECT 1; COPY numbers TO '{folder}/out.csv'": ("multiple_statements",),
    "DELETE FROM numbers WHERE n = (SELECT count(*) FROM read_text('{csv}'))": (*NOT_YET, *FUNCTION),
    "UPDATE numbers SET n = (SELECT count(*) FROM glob('/*'))": (*NOT_YET, *FUNCTION),
    "CREATE TABLE t (a INTEGER DEFAULT (length(getenv('CANARY'))))": (*NOT_YET, *FUNCTION),
    "CREATE TABLE t (a VARCHAR GENERATED ALWAYS AS (getenv('CANARY')))": (*NOT_YET, *FUNCTION),
    "CREATE TABLE t (a INTEGER CHECK (a > length(getenv('CANARY'))))": (*NOT_YET, *FUNCTION),
    "MERGE INTO numbers USING read_csv('{csv}') AS s ON true WHEN MATCHED THEN DELETE": (*NOT_YET, *FUNCTION),
    ".read {csv}": ("syntax_error",),
}


@pytest.fixture(scope="module")
def outside(tmp_path_factory) -> Path:
    """A folder with files that the server's process may read, and must not."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "canary.csv").write_text(f"secret\n{CANARY}\n")
    pa.parquet.write_table(pa.table({"secret": [CANARY]}), folder / "canary.parquet")
    return folder


@pytest.fixture(scope="module")
def attempt(local, outside):
    """Try a statement in every way that a client has; return nothing, because nothing must come of it."""
    before = sorted(path.name for path in outside.iterdir())
    with local.client() as client:
        put(client, "numbers", pa.table({"n": [1, 2, 3]}))

    with local.client() as client, local.adbc() as connection, connection.cursor() as cursor:

        def attempt(sql: str, codes: tuple[str, ...]) -> None:
            sql = sql.format(csv=outside / "canary.csv", parquet=outside / "canary.parquet", folder=outside)
            told = []
            with refused(*codes) as refusal:
                query(client, sql)
            told.append(refusal.text)
            changes = codes == MISSING and sql.startswith(("INSERT", "CREATE"))  # their schema is that of a count
            with may_be_refused(*codes) if changes else refused(*codes) as refusal:
                client.get_schema(fl.FlightDescriptor.for_command(sql.encode()))
            told.append(refusal.text)
            with refused(*codes) as refusal:
                cursor.execute(sql)  # prepares it first
            told.append(refusal.text)
            for answer in (
                local.http.sql(sql),
                local.http("POST", "/v1/sql", sql.encode(), {"Content-Type": "text/plain"}),
                local.http("GET", f"/v1/sql?query={quote(sql)}"),
            ):
                assert answer.code in {*codes, "read_only"}, answer.body
                assert 400 <= answer.status < 502
                told.append(answer.body.decode())
            assert not [text for text in told if CANARY in text or "canary-in-the-environment" in text]

        yield attempt
    assert sorted(path.name for path in outside.iterdir()) == before
    listed = [dataset["name"] for dataset in local.http("GET", "/v1/datasets").json["datasets"]]
    assert not {"stolen", "t", "v"} & set(listed)
    assert local.http.sql("SELECT count(*) AS n FROM numbers").json == [{"n": 3}]


@pytest.mark.parametrize("source", TABLE_SOURCES)
def test_what_is_outside_cannot_be_read_from(attempt, source):
    for wrapper in TABLE_WRAPPERS.values():
        attempt(wrapper.replace("{source}", source), TABLE_SOURCES[source])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_that_reaches_outside_cannot_be_called(attempt, function):
    for wrapper in FUNCTION_WRAPPERS:
        attempt(wrapper.replace("{f}", function), FUNCTION)


@pytest.mark.parametrize("sql", STATEMENTS)
def test_a_statement_that_reaches_outside_is_refused(attempt, sql):
    attempt(sql, STATEMENTS[sql])


def test_a_parameter_is_a_value_and_nothing_else(local, attempt, outside):
    path = str(outside / "canary.csv")
    for sql in (
        "SELECT * FROM read_csv(?)",
        "FROM read_text($1)",
        "FROM query(?)",
        "FROM query_table(?)",
        "SELECT getenv(?)",
    ):
        assert local.http.sql(sql, path).code == "function_not_allowed"
        with local.adbc() as connection, connection.cursor() as cursor, refused("function_not_allowed"):
            cursor.execute(sql, parameters=(path,))
    assert (
        local.http.sql("SELECT ? AS v", f"' || (SELECT content FROM read_text('{path}'))")
        .json[0]["v"]
        .startswith("' ||")
    )


def test_a_dataset_cannot_be_named_after_a_path(local, attempt, outside):
    for name in (str(outside / "canary.csv"), "../x", "a/b", "lake://1", "read_csv('x')", "x;y", "x\0", "", "ä" * 64):
        body = json.dumps({"name": name, "schema": [{"name": "a", "type": "int64"}]})
        assert local.http("POST", "/v1/datasets", body, {"Content-Type": "application/json"}).status in {400, 404}
        with local.client() as client, refused():
            put(client, {"dataset": name}, pa.table({"a": [1]}))


def test_what_a_query_may_see_of_the_server_names_no_path(local, attempt):
    texts = [
        local.http.sql(sql).body.decode()
        for sql in (
            "FROM duckdb_tables()", "FROM duckdb_columns()", "FROM duckdb_schemas()", "SHOW ALL TABLES", "SHOW DATABASES",
            "FROM information_schema.tables", "FROM pragma_version()", "SELECT current_database(), current_schemas(true)",
            "EXPLAIN ANALYZE SELECT count(*) FROM numbers", "EXPLAIN (FORMAT JSON) SELECT * FROM numbers",
            "DESCRIBE numbers", "SUMMARIZE numbers", "FROM duckdb_functions() LIMIT 5000",
        )
    ]  # fmt: skip
    folder = str(local.folder)
    assert not [text[:300] for text in texts if folder in text or "/site-packages" in text or '"status"' in text[:200]]
