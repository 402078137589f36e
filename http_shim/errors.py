"""From an error to an HTTP answer: one table of statuses, one shape (RFC 9457, application/problem+json)."""

import json
import logging
import secrets
from http import HTTPStatus

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from clients import ErrorKind, LakehouseClientError

from .route_list import no_such_route

_LOG = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"

STATUS_OF_KIND: dict[ErrorKind, HTTPStatus] = {
    ErrorKind.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    ErrorKind.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    ErrorKind.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    ErrorKind.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorKind.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    ErrorKind.CONFLICT: HTTPStatus.CONFLICT,
    ErrorKind.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ErrorKind.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    ErrorKind.RESOURCE_EXHAUSTED: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorKind.CANCELLED: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorKind.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorKind.OUTCOME_UNKNOWN: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorKind.TIMEOUT: HTTPStatus.GATEWAY_TIMEOUT,
    ErrorKind.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}

STATUS_OF_CODE: dict[str, HTTPStatus] = {
    "idempotency_key_reused": HTTPStatus.UNPROCESSABLE_ENTITY,
}
"""Codes whose status is not the one of their kind."""

CODE_OF_STATUS: dict[int, str] = {
    HTTPStatus.BAD_REQUEST: "bad_request",
    HTTPStatus.NOT_FOUND: "route_not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body_too_large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "headers_too_large",
    HTTPStatus.INTERNAL_SERVER_ERROR: "internal_error",
    HTTPStatus.NOT_IMPLEMENTED: "not_implemented",
}
"""Codes of the errors that Flask, werkzeug and waitress raise."""


class HttpProblem(Exception):  # noqa: N818 (RFC 9457 calls it a problem)
    """A request that this layer refuses itself.

    Args:
        status: HTTP status.
        code: stable identifier in snake case.
        detail: what is wrong with this request and how to mend it, for a person.
        extra: more members of the answer, such as the line of a file.
    """

    def __init__(self, status: HTTPStatus, code: str, detail: str, **extra: object) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.extra = extra


def problem_json(status: int, code: str, detail: str, request_id: str = "", **extra: object) -> bytes:
    """Return the body of an error."""
    members: dict[str, object] = {
        "type": f"urn:lakehouse:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": int(status),
        "detail": detail,
        "code": code,
    }
    if request_id:
        members["instance"] = f"urn:lakehouse:request:{request_id}"
    return json.dumps(members | extra, ensure_ascii=False).encode() + b"\n"


def client_problem(error: LakehouseClientError) -> HttpProblem:
    """Return the HTTP form of what the Flight server said."""
    status = STATUS_OF_CODE.get(error.code, STATUS_OF_KIND[error.kind])
    if error.code == "server_unreachable":  # gRPC's words, with an address that is nobody's business
        _LOG.warning("the Flight server cannot be reached: %s", error.message)
        return HttpProblem(status, error.code, "the Flight server behind this one cannot be reached")
    return HttpProblem(status, error.code, error.message)


def install_error_handlers(app: Flask, *, retry_after_seconds: int) -> None:
    """Let every error of the app, expected or not, leave as a problem."""

    def respond(problem: HttpProblem) -> Response:
        g.problem_code = problem.code  # for the log
        body = problem_json(problem.status, problem.code, problem.detail, g.get("request_id", ""), **problem.extra)
        response = Response(body, status=int(problem.status), mimetype=PROBLEM_JSON)
        if problem.status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
            response.headers["Retry-After"] = str(retry_after_seconds)
        if problem.status == HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response

    def on_client_error(error: LakehouseClientError) -> Response:
        return respond(client_problem(error))

    def on_http_exception(error: HTTPException) -> Response:
        status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
        detail = error.description or status.phrase
        if status is HTTPStatus.NOT_FOUND:
            detail = no_such_route(app, request.path)
        problem = HttpProblem(status, CODE_OF_STATUS.get(status, "http_error"), detail)
        response = respond(problem)
        for name, value in error.get_headers():
            if name.lower() == "allow":
                response.headers[name] = value
        return response

    def on_anything_else(error: Exception) -> Response:
        error_id = secrets.token_hex(8)
        _LOG.error("internal error, id=%s", error_id, exc_info=error)
        detail = f"the server failed; its log has the details, id={error_id}"
        return respond(HttpProblem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", detail))

    app.register_error_handler(HttpProblem, respond)
    app.register_error_handler(LakehouseClientError, on_client_error)
    app.register_error_handler(HTTPException, on_http_exception)
    app.register_error_handler(Exception, on_anything_else)
