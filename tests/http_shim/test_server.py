import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection

import pytest
from http_calls import Http
from servers import http_server

from clients import connect

JSON = {"Content-Type": "application/json"}


def test_the_three_health_routes_answer(http):
    assert http("GET", "/healthz").json == {"status": "ok"}
    assert http("GET", "/readyz").json == {"status": "ok", "lakes": {"lake": {"status": "ok"}}}
    assert http("GET", "/health").status == 200


def test_without_its_flight_server_it_lives_but_is_not_ready():
    with connect("grpc://127.0.0.1:1") as nobody, http_server(nobody) as server:
        http = Http(server.address)
        assert http("GET", "/healthz").status == 200
        answer = http("GET", "/readyz")
        assert answer.status == 503
        assert answer.json == {
            "status": "unavailable",
            "reason": "the Flight server does not answer: server_unreachable",
        }
        answer = http.sql("SELECT 1")
        assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "server_unreachable", "1")
        assert "127.0.0.1:1" not in answer.body.decode()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "route_not_found"),
        ("PUT", "/v1/sql", 405, "method_not_allowed"),
        ("GET", "/v1/ingest", 405, "method_not_allowed"),
        ("GET", "/v1/sql", 400, "sql_missing"),
    ],
)
def test_what_is_no_route_is_a_problem_too(http, method, path, status, code):
    answer = http(method, path)
    assert (answer.status, answer.code) == (status, code)
    assert ("Allow" in answer.headers) == (status == 405)


def test_the_root_lists_the_routes(http):
    routes = http("GET", "/").json["routes"]
    assert {"POST /v1/ingest", "GET /v1/sql", "POST /v1/sql", "DELETE /v1/datasets/NAME", "GET /readyz"} <= set(routes)


def test_a_path_that_is_no_route_is_guessed(http):
    def said(path):
        return http("GET", path).json["detail"]

    assert said("/v1/dataset") == "There is no route /v1/dataset; docs/http.md lists them. Did you mean /v1/datasets?"
    assert said("/metrics") == "There is no route /metrics; docs/http.md lists them."


def test_a_refusal_is_logged_with_its_code(http, caplog):
    caplog.set_level("INFO", logger="http_shim")
    http("GET", "/v1/nothing", None, {"X-Request-Id": "refused-1"})
    http("GET", "/healthz", None, {"X-Request-Id": "fine-1"})
    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if line.endswith("id=refused-1, code=route_not_found")]
    assert [line for line in lines if line.endswith("id=fine-1")]


def test_the_answers_of_the_catalog_and_problems_end_with_a_line_end(http):
    for path in ("/", "/healthz", "/v1/datasets", "/v1/datasets/none", "/v1/nothing"):
        assert http("GET", path).body.endswith(b"}\n")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400),
        (b"POST /v1/sql HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /v1/sql HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
    ],
)
def test_what_is_no_http_is_a_problem_too(http, request_bytes, status):
    host, port = http.netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request_bytes)
        answer = connection.makefile("rb").read()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == str(status).encode()
    assert b"Content-Type: application/problem+json" in head
    assert json.loads(body)["status"] == status


def test_a_request_keeps_its_id(http):
    assert http("GET", "/healthz", None, {"X-Request-Id": "mine-1"}).headers["X-Request-Id"] == "mine-1"
    answer = http("GET", "/v1/datasets/none", None, {"X-Request-Id": "not an id\t"})
    assert answer.json["instance"] == f"urn:lakehouse:request:{answer.headers['X-Request-Id']}"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:3100", "127.0.0.1.evil.example", ""])
def test_a_foreign_host_name_is_refused(http, host):
    answer = http("GET", "/v1/datasets", None, {"Host": host})
    assert (answer.status, answer.code) == (403, "host_not_allowed")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1", "[::1]:3100"])
def test_loopback_goes_by_its_names(http, host):
    assert http("GET", "/healthz", None, {"Host": host}).status == 200


def test_a_host_name_may_be_allowed(http_with):
    assert http_with(allowed_hosts=("lake.example",))("GET", "/healthz", None, {"Host": "lake.example"}).status == 200


def test_pages_of_other_origins_may_not_write(http, http_with):
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = http("POST", "/v1/sql", "SELECT 1", {"Content-Type": "text/plain"} | headers)
        assert (answer.status, answer.code) == (403, "cross_origin")
        assert http("GET", "/healthz", None, headers).status == 200
    own = {"Content-Type": "text/plain", "Origin": f"http://{http.netloc}"}
    assert http("POST", "/v1/sql", "SELECT 1", own).status == 200
    allowed = http_with(allowed_origins=("https://app.example",))
    origin = {"Content-Type": "text/plain", "Origin": "https://app.example"}
    assert allowed("POST", "/v1/sql", "SELECT 1", origin).status == 200


def test_registering_is_idempotent_and_dropping_makes_way(http):
    body = {"name": "reg", "schema": [{"name": "a", "type": "int64", "nullable": True}]}
    first = http("POST", "/v1/datasets", json.dumps(body), JSON)
    again = http("POST", "/v1/datasets", json.dumps(body), JSON)
    assert (first.status, again.status) == (200, 200)
    assert (first.json["created"], again.json["created"]) == (True, False)
    assert first.headers["Location"] == "/v1/datasets/reg"
    assert first.json["dataset_id"] == again.json["dataset_id"]
    other = body | {"schema": [{"name": "a", "type": "text"}]}
    answer = http("POST", "/v1/datasets", json.dumps(other), JSON)
    assert (answer.status, answer.code) == (409, "schema_conflict")
    assert "reg" in [dataset["name"] for dataset in http("GET", "/v1/datasets").json["datasets"]]
    assert http("DELETE", "/v1/datasets/reg").status == 200
    assert http("GET", "/v1/datasets/reg").status == 404
    assert http("DELETE", "/v1/datasets/reg").status == 404
    assert http("DELETE", "/v1/datasets/reg", None, None, if_exists="true").status == 200
    assert http("POST", "/v1/datasets", json.dumps(other), JSON).json["dataset_id"] != first.json["dataset_id"]


def test_a_misspelt_dataset_is_guessed(http):
    http.upload("a\n1\n", name="sensors")
    for method in ("GET", "DELETE"):
        detail = http(method, "/v1/datasets/sensor").json["detail"]
        assert detail == "There is no dataset main.sensor. Did you mean main.sensors?"
    assert "mean" not in http("GET", "/v1/datasets/unlike").json["detail"]


@pytest.mark.parametrize("body", ["{", "[]", "{}", '{"name": "x"}', '{"name": "x", "schema": [], "z": 1}'])
def test_a_registration_that_makes_no_sense_is_refused(http, body):
    assert http("POST", "/v1/datasets", body, JSON).status == 400


def test_a_connection_serves_one_request_after_another(http):
    with closing(HTTPConnection(http.netloc, timeout=10)) as connection:
        for n in range(3):
            connection.request("POST", "/v1/sql", f"SELECT {n} AS n", {"Content-Type": "text/plain"})
            assert json.load(connection.getresponse()) == [{"n": n}]


def test_many_requests_are_answered_at_once(http):
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: http.sql(f"SELECT {n} AS n").json, range(64)))
    assert answers == [[{"n": n}] for n in range(64)]


def test_closing_lets_a_request_finish_and_then_refuses_new_ones(client):
    with http_server(client) as server:
        http = Http(server.address)
        connection = HTTPConnection(http.netloc, timeout=30)
        connection.request("POST", "/v1/sql", "SELECT i FROM range(3000000) AS t(i)", {"Content-Type": "text/plain"})
        response = connection.getresponse()
        closing = threading.Thread(target=server.close)
        closing.start()
        assert response.read().endswith(b'{"i":2999999}]')
        connection.close()
        closing.join()
        with pytest.raises(ConnectionError):
            http("GET", "/healthz")


def test_a_reader_that_stops_reading_is_hung_up_on(http_with):
    """And its thread is free again: with two threads, two such readers would end the service."""
    http = http_with(threads=2, channel_timeout_seconds=1, send_buffer_bytes=1 << 16)
    stuck = []
    for _ in range(2):
        connection = HTTPConnection(http.netloc, timeout=30)
        connection.request("POST", "/v1/sql", "SELECT i FROM range(9000000) AS t(i)", {"Content-Type": "text/plain"})
        stuck.append(connection.getresponse())
    assert http("GET", "/healthz").status == 200
    for response in stuck:
        response.close()
