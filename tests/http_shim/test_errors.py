import json

import pytest
from flask import Flask

from clients import ErrorKind, LakehouseClientError
from http_shim.errors import STATUS_OF_KIND, HttpProblem, client_problem, install_error_handlers, problem_json


def test_every_kind_has_a_status():
    assert STATUS_OF_KIND.keys() == set(ErrorKind)


def test_a_key_that_is_reused_with_another_body_is_unprocessable():
    error = LakehouseClientError("idempotency_key_reused", "…", ErrorKind.INVALID_ARGUMENT)
    assert client_problem(error).status == 422


def test_the_address_of_the_flight_server_stays_private():
    error = LakehouseClientError("server_unreachable", "ipv4:10.0.0.7:8815: refused", ErrorKind.UNAVAILABLE)
    assert "10.0.0.7" not in client_problem(error).detail


def test_a_problem_has_the_members_of_rfc_9457():
    problem = json.loads(problem_json(400, "csv_ragged_row", "line 3: …", "abc", line=3))
    assert problem == {
        "type": "urn:lakehouse:problem:csv_ragged_row",
        "title": "Csv ragged row",
        "status": 400,
        "detail": "line 3: …",
        "code": "csv_ragged_row",
        "instance": "urn:lakehouse:request:abc",
        "line": 3,
    }


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (HttpProblem(409, "a_code", "detail"), 409, "a_code"),
        (LakehouseClientError("server_busy", "…", ErrorKind.RESOURCE_EXHAUSTED), 503, "server_busy"),
        (LakehouseClientError("x_y", "…", ErrorKind.UNAUTHENTICATED), 401, "x_y"),
        (RuntimeError("secret /path/of/the/server"), 500, "internal_error"),
    ],
)
def test_every_error_of_a_route_leaves_as_a_problem(error, status, code):
    app = Flask(__name__)
    install_error_handlers(app, retry_after_seconds=7)

    @app.get("/")
    def route():
        raise error

    response = app.test_client().get("/")
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    assert response.json["code"] == code
    assert response.headers.get("Retry-After") == ("7" if status == 503 else None)
    assert ("WWW-Authenticate" in response.headers) == (status == 401)
    assert "secret" not in response.text
