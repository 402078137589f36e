"""Where the uploaded file lies inside a multipart/form-data body (RFC 7578).

Only boundaries are searched for; the file itself is neither copied nor looked at.
"""

import re
from dataclasses import dataclass, field
from http import HTTPStatus

from werkzeug.http import parse_options_header

from .body_range import BodyRange, SpooledBody
from .errors import HttpProblem

FILE_PART = "file"
FRAMING_BYTES = 64 << 10
"""Boundaries, headers and small fields that a multipart body may have beside its file."""

_WINDOW_BYTES = 4 << 20
_MAX_PARTS = 16
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*)\r\n")


@dataclass(frozen=True, slots=True)
class FilePart:
    """The file of a multipart upload, and the small fields that came with it."""

    content: BodyRange
    filename: str | None
    content_type: str
    fields: dict[str, str] = field(default_factory=dict)


def file_part(body: SpooledBody, boundary: str) -> FilePart:
    """Find the part named ``file``, or the only part with a file name.

    Raises:
        HttpProblem: 400 ``malformed_multipart``, or ``file_part_missing``.
    """
    delimiter = b"--" + boundary.encode("latin-1")
    start = _find(body, delimiter, 0) + len(delimiter)
    files: dict[str, FilePart] = {}
    fields: dict[str, str] = {}
    for _ in range(_MAX_PARTS):
        if body.read_at(start, 2) == b"--":
            break
        name, filename, content_type, content_start = _part_headers(body, start)
        content_stop = _find(body, b"\r\n" + delimiter, content_start - 2)
        content = BodyRange(body, content_start, max(content_start, content_stop))
        if filename is None and name != FILE_PART:
            fields[name] = content.read(FRAMING_BYTES).decode(errors="replace")
        else:
            files[name] = FilePart(content, filename, content_type, fields)
        start = content_stop + len(b"\r\n" + delimiter)
    else:
        raise _malformed(f"it has more than {_MAX_PARTS} parts")
    if FILE_PART in files:
        return files[FILE_PART]
    if len(files) == 1:
        return files.popitem()[1]
    raise HttpProblem(HTTPStatus.BAD_REQUEST, "file_part_missing", f'the upload needs one part named "{FILE_PART}"')


def _part_headers(body: SpooledBody, start: int) -> tuple[str, str | None, str, int]:
    """Return name, file name, content type, and where the content of the part begins."""
    head = body.read_at(start, FRAMING_BYTES)
    line_end = head.find(b"\r\n")
    head_end = head.find(b"\r\n\r\n", line_end)
    if line_end < 0 or head_end < 0 or head[:line_end].strip(b" \t"):
        raise _malformed("a part has no headers")
    headers = {
        match[1].decode("latin-1").lower(): match[2].decode(errors="replace")
        for match in _HEADER.finditer(head, line_end + 2, head_end + 2)
    }
    disposition, options = parse_options_header(headers.get("content-disposition"))
    if disposition != "form-data" or "name" not in options:
        raise _malformed("a part has no Content-Disposition: form-data; name=…")
    return options["name"], options.get("filename"), headers.get("content-type", ""), start + head_end + 4


def _find(body: SpooledBody, needle: bytes, start: int) -> int:
    while start < body.size:
        window = body.read_at(start, _WINDOW_BYTES)
        found = window.find(needle)
        if found >= 0:
            return start + found
        if len(window) <= len(needle):
            break
        start += len(window) - len(needle) + 1
    raise _malformed("a boundary is missing")


def _malformed(why: str) -> HttpProblem:
    return HttpProblem(HTTPStatus.BAD_REQUEST, "malformed_multipart", f"the multipart body is malformed: {why}")
