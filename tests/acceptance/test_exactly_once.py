"""A request that is repeated with its key counts once, whoever repeats it and how."""

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
from clean_answers import refused
from flight_calls import put, query

from lakehouse import connect

ROWS = pa.table({"id": [1, 2, 3]})
OTHER_ROWS = pa.table({"id": [1, 2, 4]})
CSV = "id\n1\n2\n3\n"


@pytest.fixture(params=["local", pytest.param("on_minio", marks=pytest.mark.minio)])
def server(request):
    return request.getfixturevalue(request.param)


def count(server, name: str) -> int:
    [row] = server.http.sql(f"SELECT count(*) AS n FROM {name}").json
    return row["n"]


def version(server, name: str) -> int:
    return server.http("GET", f"/v1/datasets/{name}").json["version"]


@pytest.mark.parametrize("way", ["path", "command"])
def test_over_flight_the_same_key_adds_rows_once_and_gets_the_first_answer(server, way):
    name = f"flight_key_{way}"

    def send(rows: pa.Table) -> dict:
        with server.client() as client:
            if way == "path":
                return put(client, name, rows, idempotency_key="monday")
            return put(client, {"dataset": name, "idempotency_key": "monday"}, rows)

    first = send(ROWS)
    assert send(ROWS) == first | {"replayed": True}
    assert (count(server, name), version(server, name)) == (3, first["version"])
    with refused("idempotency_key_reused"):
        send(OTHER_ROWS)
    assert (count(server, name), version(server, name)) == (3, first["version"])


def test_over_http_the_same_key_adds_rows_once_and_gets_the_first_answer(server):
    def send(body: str):
        return server.http.upload(body, "text/csv", {"Idempotency-Key": "monday"}, name="http_key")

    first, again = send(CSV), send(CSV)
    assert (first.status, again.status) == (200, 200)
    inferred = {"columns": [{"name": "id", "type": "bigint"}]}  # of a dataset that exists nothing is inferred
    assert first.json == again.json | inferred | {"replayed": False}
    assert again.json["replayed"] is True
    assert (first.headers["Idempotency-Replayed"], again.headers["Idempotency-Replayed"]) == (None, "true")
    assert count(server, "http_key") == 3

    other = send("id\n1\n2\n4\n")
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    assert count(server, "http_key") == 3
    assert server.http.upload(CSV, "text/csv", {"Idempotency-Key": "tuesday"}, name="http_key").status == 200
    assert count(server, "http_key") == 6


def test_the_answer_to_a_repeat_is_the_first_one_although_more_has_happened_since(server):
    with server.client() as client:
        first = put(client, "repeat_later", ROWS, idempotency_key="monday")
        put(client, "repeat_later", ROWS)
        put(client, "repeat_later", ROWS)
        assert put(client, "repeat_later", ROWS, idempotency_key="monday") == first | {"replayed": True}
    assert count(server, "repeat_later") == 9


def test_repeats_at_the_same_time_add_the_rows_once(server):
    def send(_: int) -> dict:
        with connect(server.flight) as client:
            return client.ingest("at_once", ROWS, idempotency_key="monday").replayed

    with ThreadPoolExecutor(8) as pool:
        replayed = list(pool.map(send, range(8)))
    assert sorted(replayed) == [False] + 7 * [True]
    assert (count(server, "at_once"), version(server, "at_once")) == (3, 1)


def test_a_key_outlives_its_server(start):
    server = start()
    with server.client() as client:
        first = put(client, "keyed", ROWS, idempotency_key="monday")
    server.kill()
    server.start()
    with server.client() as client:
        assert put(client, "keyed", ROWS, idempotency_key="monday") == first | {"replayed": True}
        with refused("idempotency_key_reused"):
            put(client, "keyed", OTHER_ROWS, idempotency_key="monday")
        assert query(client, "SELECT count(*) AS n FROM keyed").to_pylist() == [{"n": 3}]


TYPED_CSV = (
    "i,d,b,day,at,zoned,word,nothing,mixed\n"
    + "1,1.5,true,2024-01-02,2024-01-02 03:04:05,2024-01-02T03:04:05Z,a,,1\n" * 3
    + "2,2.5,false,2024-01-03,2024-01-02 03:04:05.25,2024-01-02T03:04:05+02:00,,,x\n"
)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(TYPED_CSV, "text/csv"), ('{"a": 1, "b": [1.5], "c": {"d": "x"}}\n{"a": null}\n', "application/x-ndjson")],
    ids=["csv", "ndjson"],
)
def test_a_repeated_file_is_the_same_although_its_types_were_inferred_the_first_time(local, body, content_type):
    def send():
        key = {"Idempotency-Key": "typed"}
        return local.http.upload(body, content_type, key, name=f"typed_{len(body)}")

    first, again = send(), send()
    assert (again.status, again.json["replayed"]) == (200, True)
    assert again.json["rows_ingested"] == again.json["row_count"] == first.json["row_count"]
