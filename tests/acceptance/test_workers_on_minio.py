"""A CSV file goes in by curl and answers come out; MinIO holds what there is to hold."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flight_calls import query
from lakehouse_process import COMMAND

pytestmark = pytest.mark.minio


def curl(*arguments: str) -> bytes:
    done = subprocess.run(
        ["curl", "--silent", "--show-error", *arguments], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def manifest(on_minio, workers_csv: Path) -> dict:
    """The answer to the upload."""
    url = f"{on_minio.http_address}/v1/ingest?name=workers_500k"
    *body, status = curl("--write-out", "\n%{http_code}", "-F", f"file=@{workers_csv}", url).decode().splitlines()
    assert status == "200", body
    return json.loads("\n".join(body))


@pytest.fixture(scope="module")
def csv(workers_csv: Path) -> duckdb.DuckDBPyConnection:
    """DuckDB on the file itself."""
    connection = duckdb.connect()
    connection.execute(f"CREATE VIEW workers_500k AS FROM read_csv('{workers_csv}', sample_size=-1)")
    return connection


def test_the_answer_is_the_manifest(on_minio, manifest):
    assert manifest["name"] == "workers_500k"
    assert manifest["row_count"] == manifest["rows_ingested"] == 500_000
    assert {"dataset_id", "schema_fingerprint", "objects", "created_at", "updated_at"} <= manifest.keys()
    described = json.loads(curl(f"{on_minio.http_address}/v1/datasets/workers_500k"))
    assert described.items() <= manifest.items()
    assert described["row_count"] == 500_000


def test_a_column_whose_later_values_contradict_the_sample_is_text_and_the_answer_says_why(on_minio, manifest):
    columns = {column["name"]: column for column in manifest["columns"]}
    assert columns["badge"]["type"] == "text"
    assert columns["badge"]["why"]
    assert [name for name, column in columns.items() if "why" in column] == ["badge"]
    assert "'badge' is text" in on_minio.log.read_text()
    [row] = on_minio.http.sql("SELECT count(badge) AS n, min(badge) AS low, max(badge) AS high FROM workers_500k").json
    assert row == {"n": 500_000, "low": "10001", "high": "B-99999"}


def test_the_parquet_objects_are_in_the_bucket(bucket, manifest):
    s3 = bucket.client()
    rows = 0
    for data_object in manifest["objects"]:
        found = s3.get_object(Bucket=bucket.bucket, Key=f"{bucket.prefix}/{data_object['key']}")["Body"].read()
        assert len(found) == data_object["bytes"]
        rows += pq.ParquetFile(pa.BufferReader(found)).metadata.num_rows
    assert rows == 500_000
    listed = s3.list_objects_v2(Bucket=bucket.bucket, Prefix=f"{bucket.prefix}/data/{manifest['dataset_id']}/")
    assert {item["Key"] for item in listed["Contents"]} == {f"{bucket.prefix}/{o['key']}" for o in manifest["objects"]}


def test_the_count_is_exactly_this_text(on_minio, manifest):
    statement = json.dumps({"sql": "SELECT count(*) FROM workers_500k"})
    headers = ["-H", "Content-Type: application/json"]
    assert curl(*headers, "-d", statement, f"{on_minio.http_address}/v1/sql") == b'[{"count_star()":500000}]'


QUERIES = [
    "SELECT role, count(*) AS n FROM workers_500k WHERE state = 'IL' GROUP BY role ORDER BY role",
    "SELECT state, avg(salary) AS a, min(hired_at) AS b, count(score) AS c FROM workers_500k GROUP BY ALL ORDER BY ALL",
    "SELECT active, sum(salary)::BIGINT AS s, max(name) AS m FROM workers_500k GROUP BY active ORDER BY active",
    "SELECT * FROM workers_500k WHERE id % 50_000 = 1 ORDER BY id",
    "SELECT count(*) AS n, count(DISTINCT badge) AS d, sum(hash(name, role, state, score))::VARCHAR AS h FROM workers_500k",
]


@pytest.mark.parametrize("sql", QUERIES)
def test_every_answer_equals_that_of_duckdb_on_the_file(on_minio, manifest, csv, sql):
    expected = csv.sql(sql).to_arrow_table()
    with on_minio.client() as client:
        assert query(client, sql).to_pylist() == expected.to_pylist()
    with on_minio.adbc() as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        assert cursor.fetch_arrow_table().to_pylist() == expected.to_pylist()


def test_the_command_line_gets_the_same_answer(on_minio, manifest, csv):
    command = [str(COMMAND), "sql", QUERIES[0], "--format", "json"]
    environ = {"LAKEHOUSE_FLIGHT_URI": on_minio.flight, "PATH": str(Path(sys.executable).parent)}
    done = subprocess.run(command, env=environ, capture_output=True, timeout=60, check=True)
    assert json.loads(done.stdout) == csv.sql(QUERIES[0]).to_arrow_table().to_pylist()
