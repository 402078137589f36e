import threading
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from clients import ErrorKind, LakehouseClientError, connect
from clients.adbc import connect_adbc
from clients.ingest import slices
from clients.results import value_bytes

ROWS = pa.table({"id": [1, 2, 3], "name": ["a", None, "c"]})


def raises(kind: ErrorKind, code: str):
    return pytest.raises(LakehouseClientError, match=f"^{code}: ", check=lambda error: error.kind is kind)


def test_rows_go_in_and_come_out(client):
    result = client.ingest("trips", ROWS)
    assert (result.rows, result.name, result.schema, result.lake, result.replayed) == (
        3,
        "trips",
        "main",
        "lake",
        False,
    )
    assert client.query("FROM trips ORDER BY id").to_table() == ROWS
    assert client.dataset("main.trips")["row_count"] == 3
    assert [dataset["name"] for dataset in client.datasets()] == ["trips"]
    assert client.schema("trips").names == ["id", "name"]
    client.drop("trips")
    with raises(ErrorKind.NOT_FOUND, "dataset_not_found"):
        client.dataset("trips")


def test_a_query_streams(client):
    """Four million rows: the first batch is there long before the last, and closing ends the query."""
    with client.query("SELECT i, i::VARCHAR AS s FROM range(4000000) AS t(i)") as result:
        first = next(iter(result))
    assert 0 < first.num_rows < 1_000_000


def test_a_result_reads_as_anything(client):
    sql = "SELECT 1 AS a, 'x' AS b"
    assert client.query(sql).to_pandas().equals(pd.DataFrame({"a": [1], "b": ["x"]}).astype({"a": "int32"}))
    assert client.query(sql).to_polars().rows() == [(1, "x")]
    assert pl.DataFrame(client.query(sql)).rows() == [(1, "x")]
    assert client.query(sql).to_reader().read_all().num_rows == 1


@pytest.mark.parametrize("value", [1, "x", 1.5, True, None, 2**40])
def test_parameters_are_json_scalars(client, value):
    (row,) = client.query("SELECT ? AS v", [value]).to_table().to_pylist()
    assert row == {"v": value}


def test_text_comes_encoded_by_the_server(client):
    sql = "SELECT i AS a FROM range(3) AS t(i)"
    text = b"".join(map(bytes, client.query_text(sql, text_format="ndjson")))
    assert text == b'{"a":0}\n{"a":1}\n{"a":2}\n'
    text = b"".join(map(bytes, client.query_text(sql, text_format="json")))
    assert text == b',\n{"a":0},\n{"a":1},\n{"a":2}'


def test_a_read_only_query_may_not_write(client):
    with raises(ErrorKind.PERMISSION_DENIED, "read_only"):
        client.query("CREATE TABLE t (a INT)", read_only=True)


def test_an_upload_whose_source_fails_is_discarded(client):
    def batches():
        yield from ROWS.to_batches()
        raise ZeroDivisionError("the source broke")

    with pytest.raises(ZeroDivisionError, match="the source broke"):
        client.ingest("broken", pa.RecordBatchReader.from_batches(ROWS.schema, batches()))
    with raises(ErrorKind.NOT_FOUND, "dataset_not_found"):
        client.dataset("broken")


def test_an_upload_that_the_server_refuses_says_why(client):
    client.ingest("strict", ROWS)
    with raises(ErrorKind.INVALID_ARGUMENT, "schema_mismatch"):
        client.ingest("strict", pa.table({"id": [1], "other": [2]}), mode="append")
    with raises(ErrorKind.ALREADY_EXISTS, "dataset_already_exists"):
        client.ingest("strict", ROWS, mode="create")
    assert client.dataset("strict")["row_count"] == 3


def test_an_empty_table_makes_an_empty_dataset(client):
    assert client.ingest("nothing", ROWS.schema.empty_table()).rows == 0
    assert client.dataset("nothing")["row_count"] == 0


@pytest.mark.parametrize(
    "data", [ROWS, ROWS.to_batches()[0], ROWS.to_reader(), pl.DataFrame({"id": [1, 2, 3], "name": ["a", None, "c"]})]
)
def test_anything_that_is_arrow_can_be_ingested(client, data):
    assert client.ingest("anything", data, mode="overwrite").rows == 3


def test_what_is_not_arrow_is_a_type_error(client):
    with pytest.raises(TypeError, match="list is not Arrow data: pass a table, or a pandas or polars frame"):
        client.ingest("x", [1, 2, 3])


def test_the_name_of_a_file_is_no_data(client):
    with pytest.raises(TypeError, match="for a file use the command `lakehouse ingest`"):
        client.ingest("x", "file.csv")


def test_a_repeat_with_the_same_key_adds_the_rows_once(client):
    first = client.ingest("once", ROWS, idempotency_key="k1")
    again = client.ingest("once", ROWS, idempotency_key="k1")
    assert (again.rows, again.snapshot, again.replayed) == (first.rows, first.snapshot, True)
    assert client.dataset("once")["row_count"] == 3
    with pytest.raises(LakehouseClientError, match=r"^idempotency_key_reused: "):
        client.ingest("once", ROWS.slice(1), idempotency_key="k1")


def test_progress_counts_rows_and_bytes(client):
    seen = []
    big = pa.table({"a": pa.array(range(1_000_000), pa.int64())})
    client.ingest("progress", big, progress=lambda rows, sent_bytes: seen.append((rows, sent_bytes)))
    assert len(seen) >= 4
    assert seen[-1] == (1_000_000, 8_000_000)
    assert seen == sorted(seen)


def test_batches_are_cut_to_the_limit():
    batch = pa.record_batch({"a": ["x" * n for n in range(2000)]})
    pieces = list(slices(batch, 64 << 10))
    assert all(piece.nbytes <= 64 << 10 for piece in pieces)
    assert pa.Table.from_batches(pieces) == pa.Table.from_batches([batch])
    wide = pa.record_batch({"a": ["x" * 100_000, "y"]})
    assert [piece.num_rows for piece in slices(wide, 64 << 10)] == [1, 1]


@pytest.mark.parametrize("column", [pa.array(["ab", None, "", "c"]), pa.array(["ab", "", "c"], pa.large_string())])
def test_the_bytes_of_a_text_column_are_its_values_in_a_row(column):
    assert bytes(value_bytes(column)) == b"abc"
    assert bytes(value_bytes(column[1:])) == b"c"
    assert bytes(value_bytes(column[:0])) == b""


def test_registering_is_idempotent_by_name_and_schema(client):
    first = client.register("registered", ROWS.schema)
    again = client.register("registered", ROWS.schema)
    assert (first["created"], again["created"]) == (True, False)
    assert first["dataset_id"] == again["dataset_id"]
    with raises(ErrorKind.CONFLICT, "schema_conflict"):
        client.register("registered", pa.schema([("other", pa.int8())]))


def test_history_health_and_info_answer(client):
    client.ingest("historic", ROWS)
    client.ingest("historic", ROWS)
    assert len(client.history("historic")["commits"]) == 2
    assert client.health() == {"status": "ok", "lakes": {"lake": {"status": "ok"}}}
    assert "version" in client.info()


def test_one_client_serves_many_threads(client):
    barrier = threading.Barrier(8)

    def ask(n: int) -> int:
        barrier.wait()
        return client.query("SELECT sum(i) AS s FROM range(?) AS t(i)", [n]).to_table()["s"][0].as_py()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(100, 108))) == [n * (n - 1) // 2 for n in range(100, 108)]


def test_a_result_shows_its_schema(client):
    with client.query("SELECT 1 AS a, 'x' AS b") as result:
        assert repr(result) == "<QueryResult of a: int32, b: string>"


def test_nobody_there_is_unavailable():
    with connect("grpc://127.0.0.1:1") as client, raises(ErrorKind.UNAVAILABLE, "server_unreachable"):
        client.query("SELECT 1")


def test_a_server_closed_in_mid_query_is_an_error_of_ours(client):
    result = client.query("SELECT i FROM range(100000000) AS t(i)")
    batches = iter(result)
    next(batches)
    result.close()
    with raises(ErrorKind.CANCELLED, "cancelled"):
        list(batches)


def test_the_adbc_connection_takes_messages_over_16_mib(server):
    big = pa.table({"s": ["x" * (9 << 20)] * 2})
    with connect_adbc(server.address) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("big_messages", big)
    with connect_adbc(server.address) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT sum(length(s)) FROM big_messages")
        assert cursor.fetchone() == (18 << 20,)
