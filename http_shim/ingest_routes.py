"""``POST /v1/ingest``: a file into a dataset, in one commit."""

import io
import json
import logging
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import BinaryIO, cast, get_args

import pyarrow as pa
from flask import Blueprint, Response, jsonify, request

from clients import Client, ErrorKind, IngestMode, IngestResult, JsonObject, LakehouseClientError

from .arrow_reading import arrow_reader, parquet_reader
from .csv_reading import CsvFile
from .csv_upload import upload_declared, upload_inferred
from .decoding import DecodedFile
from .errors import HttpProblem
from .json_reading import NdjsonFile
from .settings import HttpSettings
from .upload import FileFormat, Upload, received_upload

_LOG = logging.getLogger(__name__)
_MODES = get_args(IngestMode)
_MAX_KEY_CHARACTERS = 255
_PEEK_BYTES = 4096

Ingest = Callable[[pa.RecordBatchReader], IngestResult]
ColumnNotes = list[dict[str, str]]


def ingest_routes(settings: HttpSettings, client: Client) -> Blueprint:
    """Return the routes that take files."""
    routes = Blueprint("ingest", __name__)

    @routes.post("/v1/ingest")
    def ingest() -> Response:
        with received_upload(request, settings) as upload:
            name = _argument("name", upload)
            if not name:
                raise HttpProblem(HTTPStatus.BAD_REQUEST, "name_missing", "say which dataset: /v1/ingest?name=…")
            mode = _mode(_argument("mode", upload))
            send = partial(client.ingest, name, mode=mode, idempotency_key=_idempotency_key())
            result, columns = _uploaded(upload, send, partial(_declared_schema, client, name, mode), settings)
        _LOG.info("ingested %d rows into %s, replayed=%s", result.rows, name, result.replayed)
        return _answer(client, name, result, columns)

    return routes


def _uploaded(
    upload: Upload, send: Ingest, declared_schema: Callable[[], pa.Schema | None], settings: HttpSettings
) -> tuple[IngestResult, ColumnNotes]:
    """Send the file's rows; return the answer, and what was inferred of its columns."""
    match upload.file_format:
        case FileFormat.CSV | FileFormat.TSV:
            return _uploaded_csv(upload, send, declared_schema(), settings)
        case FileFormat.NDJSON | FileFormat.JSON:
            file = NdjsonFile(_json_lines(upload, settings), block_bytes=settings.max_csv_line_bytes)
            return file.upload(declared_schema(), send), []
        case FileFormat.PARQUET:
            with parquet_reader(upload.content, upload.compression, settings) as reader:
                return send(reader), []
        case FileFormat.ARROW:
            with arrow_reader(upload.content, upload.compression, settings) as reader:
                return send(reader), []


def _uploaded_csv(
    upload: Upload, send: Ingest, declared: pa.Schema | None, settings: HttpSettings
) -> tuple[IngestResult, ColumnNotes]:
    csv_file = CsvFile(
        _opener(upload, settings),
        delimiter=_delimiter(upload),
        block_bytes=settings.max_csv_line_bytes,
        max_columns=settings.max_columns,
    )
    if declared is not None:
        return upload_declared(csv_file, declared, send), []
    result, columns = upload_inferred(csv_file, settings.sample_rows, send)
    notes = [
        {"name": column.name, "type": column.type.name} | ({"why": column.why} if column.why else {})
        for column in columns
    ]
    if csv_file.delimiter_doubt is not None:
        notes[0]["why"] = csv_file.delimiter_doubt
    for note in notes:
        if "why" in note:
            _LOG.info("CSV column %r is text: %s", note["name"], note["why"])
    return result, notes


def _opener(upload: Upload, settings: HttpSettings) -> Callable[[], BinaryIO]:
    return lambda: cast("BinaryIO", DecodedFile(upload.content, upload.compression, settings))


def _json_lines(upload: Upload, settings: HttpSettings) -> Callable[[], BinaryIO]:
    """Return an opener of the file as NDJSON; a JSON array is turned into lines first, in memory."""
    opener = _opener(upload, settings)
    if upload.file_format is FileFormat.NDJSON or opener().read(_PEEK_BYTES).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"[":
        return opener
    text = opener().read(settings.max_json_array_bytes + 1)
    if len(text) > settings.max_json_array_bytes:
        raise HttpProblem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "json_array_too_large",
            f"a JSON array has at most {settings.max_json_array_bytes} bytes; send NDJSON instead",
        )
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HttpProblem(HTTPStatus.BAD_REQUEST, "json_malformed", str(error)) from None
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    return lambda: io.BytesIO(lines)


def _declared_schema(client: Client, name: str, mode: IngestMode) -> pa.Schema | None:
    """Return the schema that the rows must have, or None if they bring their own."""
    if mode not in {"append", "create_append"}:
        return None
    try:
        return client.schema(name)
    except LakehouseClientError as error:
        if error.kind is ErrorKind.NOT_FOUND and mode == "create_append":
            return None
        raise


def _answer(client: Client, name: str, result: IngestResult, columns: ColumnNotes) -> Response:
    """Return the dataset's manifest, and with it what this upload did."""
    try:
        manifest = client.dataset(name)
    except LakehouseClientError:  # the rows are committed, whatever happened to the dataset or the server since
        _LOG.warning("no manifest of %s after an ingest", name, exc_info=True)
        manifest = {"dataset_id": result.dataset_id, "name": result.name}
    done: JsonObject = {
        "rows_ingested": result.rows,
        "bytes_ingested": result.bytes,
        "ingest_snapshot": result.snapshot,
        "replayed": result.replayed,
    }
    if columns:
        done["columns"] = columns
    response = jsonify(manifest | done)
    if result.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def _argument(name: str, upload: Upload) -> str | None:
    return request.args.get(name) or upload.fields.get(name)


def _mode(text: str | None) -> IngestMode:
    mode = text or "create_append"
    if mode not in _MODES:
        raise HttpProblem(HTTPStatus.BAD_REQUEST, "unknown_mode", f"mode is one of {', '.join(_MODES)}")
    return cast("IngestMode", mode)


def _idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 0 < len(key) <= _MAX_KEY_CHARACTERS:
        raise HttpProblem(
            HTTPStatus.BAD_REQUEST, "invalid_idempotency_key", f"a key has 1 to {_MAX_KEY_CHARACTERS} characters"
        )
    return key


def _delimiter(upload: Upload) -> str:
    delimiter = request.args.get("delimiter", "\t" if upload.file_format is FileFormat.TSV else ",")
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
        raise HttpProblem(HTTPStatus.BAD_REQUEST, "invalid_delimiter", "a delimiter is one ASCII character")
    return delimiter
