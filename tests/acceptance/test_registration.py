"""Datasets are registered, survive their server, and are dropped for good."""

import json
import subprocess

import pyarrow as pa
import pytest
from flight_calls import put, query

TRIPS = {"name": "trips", "schema": [{"name": "a", "type": "int64", "nullable": True}]}
DROPPED = TRIPS | {"name": "dropped"}
JSON = {"Content-Type": "application/json"}


def register(server, body):
    return server.http("POST", "/v1/datasets", json.dumps(body), JSON)


def names(server) -> list[str]:
    return [dataset["name"] for dataset in server.http("GET", "/v1/datasets").json["datasets"]]


PLACES = ["local", pytest.param("on_minio", marks=pytest.mark.minio)]


@pytest.fixture(params=PLACES)
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(params=PLACES)
def own_server(request, start):
    return start(request.getfixturevalue("s3_place") if request.param == "on_minio" else None)


def test_registering_twice_is_one_dataset_and_another_schema_is_a_conflict(server):
    body = TRIPS | {"name": "registered"}
    first, again = register(server, body), register(server, body)
    assert (first.status, again.status) == (200, 200)
    assert first.json["dataset_id"] == again.json["dataset_id"]
    assert (first.json["created"], again.json["created"]) == (True, False)

    other = register(server, body | {"schema": [{"name": "a", "type": "string", "nullable": True}]})
    assert (other.status, other.code) == (409, "schema_conflict")
    assert server.http("GET", "/v1/datasets/registered").json["dataset_id"] == first.json["dataset_id"]


def test_everything_is_still_there_after_a_stop_and_after_a_kill(own_server):
    registered = register(own_server, TRIPS).json
    with own_server.client() as client:
        put(client, "trips", pa.table({"a": [1, 2, 3]}))
        put(client, "stops", pa.table({"s": ["x", "y"]}))
    before = own_server.http("GET", "/v1/datasets").json

    assert own_server.terminate() == 0
    own_server.start()
    assert own_server.http("GET", "/v1/datasets").json == before

    own_server.kill()
    own_server.start()
    assert own_server.http("GET", "/v1/datasets").json == before
    assert names(own_server) == ["stops", "trips"]
    assert own_server.http("GET", "/v1/datasets/trips").json["dataset_id"] == registered["dataset_id"]
    with own_server.client() as client:
        assert query(client, "SELECT sum(a)::BIGINT AS a FROM trips").to_pylist() == [{"a": 6}]
        put(client, "trips", pa.table({"a": [4]}))
    assert own_server.http.sql("SELECT count(*) AS n FROM trips").json == [{"n": 4}]


def test_what_is_made_again_after_a_drop_is_another_dataset(server):
    first = register(server, DROPPED).json
    with server.client() as client:
        put(client, "dropped", pa.table({"a": [1, 2, 3]}))
    done = subprocess.run(
        ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", "DELETE", f"{server.http_address}/v1/datasets/dropped"],
        capture_output=True, timeout=30, check=True,
    )  # fmt: skip
    assert done.stdout == b"200"
    assert "dropped" not in names(server)
    assert server.http("GET", "/v1/datasets/dropped").status == 404
    assert server.http.sql("FROM dropped").code == "dataset_not_found"

    second = register(server, DROPPED | {"schema": [{"name": "b", "type": "text"}]}).json
    assert second["dataset_id"] != first["dataset_id"]
    assert (second["created"], second["row_count"]) == (True, 0)
    assert server.http.rows("dropped") == []
