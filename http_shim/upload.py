"""What an ingest request carries: the file, its name, its format and its compression."""

import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import cast

from flask import Request
from werkzeug.http import parse_options_header

from .body_range import BodyRange, SpooledBody
from .decoding import Compression, DecodedFile
from .errors import HttpProblem
from .multipart import file_part
from .settings import HttpSettings


class FileFormat(Enum):
    """Formats that can be uploaded; the value is the name that ``?format=`` takes."""

    CSV = "csv"
    TSV = "tsv"
    NDJSON = "ndjson"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"


_BY_CONTENT_TYPE = {
    "text/csv": FileFormat.CSV,
    "application/csv": FileFormat.CSV,
    "application/vnd.ms-excel": FileFormat.CSV,  # what browsers on Windows say of .csv
    "text/tab-separated-values": FileFormat.TSV,
    "application/x-ndjson": FileFormat.NDJSON,
    "application/ndjson": FileFormat.NDJSON,
    "application/jsonl": FileFormat.NDJSON,
    "application/x-jsonlines": FileFormat.NDJSON,
    "application/json": FileFormat.JSON,
    "application/vnd.apache.parquet": FileFormat.PARQUET,
    "application/parquet": FileFormat.PARQUET,
    "application/vnd.apache.arrow.stream": FileFormat.ARROW,
    "application/vnd.apache.arrow.file": FileFormat.ARROW,
}
_BY_SUFFIX = {
    "csv": FileFormat.CSV,
    "tsv": FileFormat.TSV,
    "ndjson": FileFormat.NDJSON,
    "jsonl": FileFormat.NDJSON,
    "json": FileFormat.JSON,
    "parquet": FileFormat.PARQUET,
    "pq": FileFormat.PARQUET,
    "arrow": FileFormat.ARROW,
    "arrows": FileFormat.ARROW,
    "feather": FileFormat.ARROW,
    "ipc": FileFormat.ARROW,
}
_BY_MAGIC = {b"PAR1": FileFormat.PARQUET, b"ARRO": FileFormat.ARROW, b"\xff\xff\xff\xff": FileFormat.ARROW}
_COMPRESSION_BY_SUFFIX = {"gz": Compression.GZIP, "zst": Compression.ZSTD, "zstd": Compression.ZSTD}
_COMPRESSION_BY_ENCODING = {
    "": Compression.NONE,
    "identity": Compression.NONE,
    "gzip": Compression.GZIP,
    "x-gzip": Compression.GZIP,
    "zstd": Compression.ZSTD,
}
_COMPRESSION_BY_CONTENT_TYPE = {
    "application/gzip": Compression.GZIP,
    "application/x-gzip": Compression.GZIP,
    "application/zstd": Compression.ZSTD,
}


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file and how to read it."""

    content: BodyRange
    file_format: FileFormat
    compression: Compression
    fields: dict[str, str]


@contextmanager
def received_upload(request: Request, settings: HttpSettings) -> Iterator[Upload]:
    """Yield the file of a request, raw or multipart.

    Raises:
        HttpProblem: 400, 413 ``body_too_large`` or 415 for what we cannot take.
    """
    body = SpooledBody(_spooled(request, settings))
    try:
        yield _described(request, body, settings)
    finally:
        body.close()


def _spooled(request: Request, settings: HttpSettings) -> io.BytesIO:
    """Return the body as a file; our server has made one already, others may give a stream."""
    stream: io.BytesIO = request.environ["wsgi.input"]
    if isinstance(stream, io.BytesIO) or _is_file(stream):
        return stream
    spool = tempfile.TemporaryFile(dir=settings.spool_directory)  # noqa: SIM115 (closed with the request)
    shutil.copyfileobj(request.stream, spool)
    return cast("io.BytesIO", spool)


def _is_file(stream: io.BytesIO) -> bool:
    try:
        return stream.seekable() and stream.fileno() >= 0
    except (OSError, AttributeError):
        return False


def _described(request: Request, body: SpooledBody, settings: HttpSettings) -> Upload:
    content_type, options = parse_options_header(request.headers.get("Content-Type"))
    if content_type == "multipart/form-data":
        part = file_part(body, options.get("boundary", ""))
        content, filename, fields = part.content, part.filename, part.fields
        content_type = parse_options_header(part.content_type)[0]
    else:
        content, filename, fields = BodyRange(body), request.args.get("filename"), {}
    if content.size > settings.max_body_bytes:
        raise HttpProblem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", f"a file has at most {settings.max_body_bytes} bytes"
        )
    compression = _compression(request, filename or "", content_type)
    suffix = _format_suffix(filename or "")
    named = request.args.get("format") or fields.get("format")
    magic = DecodedFile(content, compression, settings).read(4)
    return Upload(content, _format(named, suffix, content_type, magic), compression, fields)


def _compression(request: Request, filename: str, content_type: str) -> Compression:
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _COMPRESSION_BY_ENCODING:
        raise HttpProblem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", "Content-Encoding is gzip, zstd or absent"
        )
    by_suffix = _COMPRESSION_BY_SUFFIX.get(filename.rpartition(".")[2].lower(), Compression.NONE)
    by_type = _COMPRESSION_BY_CONTENT_TYPE.get(content_type, Compression.NONE)
    by_encoding = _COMPRESSION_BY_ENCODING[encoding]
    return next((one for one in (by_encoding, by_suffix, by_type) if one is not Compression.NONE), Compression.NONE)


def _format_suffix(filename: str) -> str:
    stem, _, suffix = filename.lower().rpartition(".")
    return stem.rpartition(".")[2] if suffix in _COMPRESSION_BY_SUFFIX else suffix


def _format(named: str | None, suffix: str, content_type: str, magic: bytes) -> FileFormat:
    if named is not None:
        try:
            return FileFormat(named.lower())
        except ValueError:
            known = ", ".join(one.value for one in FileFormat)
            raise HttpProblem(HTTPStatus.BAD_REQUEST, "unknown_format", f"format is one of {known}") from None
    found = _BY_SUFFIX.get(suffix) or _BY_CONTENT_TYPE.get(content_type) or _BY_MAGIC.get(magic)
    if found is None:
        raise HttpProblem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unknown_file_format",
            "say what the file is: by Content-Type (text/csv, application/x-ndjson, application/vnd.apache.parquet, "
            "application/vnd.apache.arrow.stream), by the suffix of its file name, or by ?format=",
        )
    return found
