"""``/v1/sql``: one statement in, its rows out in the format that was asked for."""

import json
import tempfile
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from flask import Blueprint, Request, Response, request
from werkzeug.http import parse_options_header

from clients import Client

from .errors import HttpProblem
from .held_answer import StreamSlots, answer
from .negotiation import ResultFormat, chosen_format
from .result_encoding import SqlRequest, encoded
from .settings import HttpSettings

_JSON_TYPES = frozenset({"application/json"})
_TEXT_TYPES = frozenset({"text/plain", "application/sql", "text/x-sql"})
_UNSAID_TYPES = frozenset({"", "application/x-www-form-urlencoded", "application/octet-stream"})
"""What curl and others send when nobody told them what the body is: JSON if it looks like it, else SQL."""

_MEMBERS = frozenset({"sql", "params", "format", "read_only"})
_COPY_BYTES = 1 << 20


def sql_routes(settings: HttpSettings, client: Client) -> Blueprint:
    """Return the routes that run SQL."""
    routes = Blueprint("sql", __name__)
    slots = StreamSlots(settings.max_streams)

    def run(statement: SqlRequest, result_format: ResultFormat) -> Response:
        content_type = result_format.value
        if result_format in {ResultFormat.CSV, ResultFormat.TABLE}:
            content_type += "; charset=utf-8"
        if result_format is ResultFormat.PARQUET:
            chunks = _parquet_file(client, statement, settings)
        else:
            chunks = encoded(client, statement, result_format, max_table_rows=settings.max_table_rows)
        return answer(chunks, content_type, settings.hold_bytes, slots)

    @routes.post("/v1/sql")
    def post_sql() -> Response:
        statement, named_format = _posted(request, settings)
        return run(statement, chosen_format(request, named_format))

    @routes.get("/v1/sql")
    def get_sql() -> Response:
        sql = request.args.get("query", "")
        if not sql.strip():
            raise HttpProblem(HTTPStatus.BAD_REQUEST, "sql_missing", "say what to run: /v1/sql?query=SELECT…")
        return run(SqlRequest(sql, read_only=True), chosen_format(request))

    return routes


def _posted(request: Request, settings: HttpSettings) -> tuple[SqlRequest, object]:
    """Return the statement in the body, and the format that it names, if any."""
    data = request.get_data(cache=False)
    if len(data) > settings.max_sql_bytes:
        raise HttpProblem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "sql_too_large",
            f"a statement has at most {settings.max_sql_bytes} bytes",
        )
    content_type = parse_options_header(request.headers.get("Content-Type"))[0]
    looks_like_json = content_type in _UNSAID_TYPES and data.lstrip()[:1] == b"{"
    if content_type in _JSON_TYPES or looks_like_json:
        return _from_json(data)
    if content_type not in _TEXT_TYPES | _UNSAID_TYPES:
        raise HttpProblem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "send application/json or text/plain"
        )
    return SqlRequest(_not_empty(_utf8(data))), None


def _from_json(data: bytes) -> tuple[SqlRequest, object]:
    body = json_object(data)
    unknown = body.keys() - _MEMBERS
    if unknown:
        raise _bad_body(f"unknown members: {', '.join(sorted(unknown))}; known are {', '.join(sorted(_MEMBERS))}")
    sql, params, read_only = body.get("sql"), body.get("params") or [], body.get("read_only", False)
    if not isinstance(sql, str):
        raise _bad_body('"sql" is a text')
    if not isinstance(params, list) or not all(isinstance(one, str | int | float | None) for one in params):
        raise _bad_body('"params" is a list of texts, numbers, true, false and null')
    if not isinstance(read_only, bool):
        raise _bad_body('"read_only" is true or false')
    return SqlRequest(_not_empty(sql), params, read_only), body.get("format")


def json_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object in a body.

    Raises:
        HttpProblem: 400 ``malformed_json``.
    """
    try:
        body = json.loads(_utf8(data))
    except (ValueError, RecursionError) as error:
        raise HttpProblem(HTTPStatus.BAD_REQUEST, "malformed_json", f"the body is no JSON: {error}") from None
    if not isinstance(body, dict):
        raise HttpProblem(HTTPStatus.BAD_REQUEST, "malformed_json", "the body is a JSON object")
    return body


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise HttpProblem(HTTPStatus.BAD_REQUEST, "not_utf8", "the body is not UTF-8 text") from None


def _not_empty(sql: str) -> str:
    if not sql.strip():
        raise HttpProblem(HTTPStatus.BAD_REQUEST, "sql_missing", "the body has no statement")
    return sql


def _bad_body(detail: str) -> HttpProblem:
    return HttpProblem(HTTPStatus.BAD_REQUEST, "invalid_request", detail)


def _parquet_file(client: Client, statement: SqlRequest, settings: HttpSettings) -> Iterator[bytes]:
    """Write the whole answer to a file, then yield it: Parquet has its index at the end."""
    with tempfile.TemporaryFile(dir=settings.spool_directory) as file:
        with client.query(statement.sql, statement.params, read_only=statement.read_only) as result:
            try:
                writer = pq.ParquetWriter(file, result.schema, compression="zstd")
            except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
                raise HttpProblem(HTTPStatus.BAD_REQUEST, "parquet_type_unsupported", str(error)) from None
            with writer:
                for batch in result:
                    writer.write_batch(batch)
                    if file.tell() > settings.max_result_file_bytes:
                        raise HttpProblem(
                            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                            "result_too_large",
                            f"an answer in Parquet has at most {settings.max_result_file_bytes} bytes",
                        )
        file.seek(0)
        while data := file.read(_COPY_BYTES):
            yield data
