"""Send a file to a running server over HTTP, as ``curl -F file=@FILE`` does, and watch it go."""

import http.client
import json
import os
import re
import secrets
import shutil
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlencode, urlsplit

from .exits import CommandError, ExitCode

BLOCK_BYTES = 1 << 18
CONNECT_SECONDS = 5.0
"""How long opening the connection may take, TLS included."""

ANSWER_SECONDS = 600.0
"""How long the server may take to commit after the last byte."""

STANDARD_INPUT = Path("-")
FLAG_OF_CODE = {"unknown_file_format": "--format", "unknown_format": "--format", "invalid_delimiter": "--delimiter"}
"""Flags of ``lakehouse ingest`` that answer what the server says by these codes."""

UNKNOWN_CODES = ("commit_outcome_unknown", "no_acknowledgement")
"""Codes of answers after which the rows may be there."""

Progress = Callable[[int], None]
"""Called with the bytes of the file that were sent since the last call."""


def dataset_name(path: Path) -> str:
    """Return the dataset name that a file suggests: ``Workers 2024.csv.gz`` → ``workers_2024``."""
    stem = path.name.split(".")[0].lower()
    name = re.sub(r"[^a-z0-9_]+", "_", stem).strip("_") or "dataset"
    return f"_{name}" if name[0].isdigit() else name


def upload_file(
    url: str,
    path: Path,
    query: Mapping[str, str],
    *,
    idempotency_key: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Ingest a file and return the server's answer, the manifest of the dataset.

    Args:
        url: the server's HTTP address.
        path: the file; its suffix tells its format. ``-`` is standard input.
        query: parameters of the request: ``name`` of the dataset, ``mode``, ``format``, ``delimiter``.
        idempotency_key: repeating the upload with the same key adds its rows once.
        progress: called as blocks are sent.

    Raises:
        CommandError: the file cannot be read, the server cannot be reached or it refused; the message says what it said.
    """
    with _open(path) as file, closing(_connect(url)) as connection:
        form = _Form(path.name, file, progress)
        headers = {"Content-Type": form.content_type, "Content-Length": str(form.length), "Accept": "application/json"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        try:
            # A server that refuses answers early and closes; what it said is more useful than the broken pipe.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request("POST", f"/v1/ingest?{urlencode(query)}", body=form.blocks(), headers=headers)
            answer = connection.getresponse()
            return _answer(url, answer.status, answer.read())
        except http.client.RemoteDisconnected as error:
            raise _broken(url) from error
        except (http.client.BadStatusLine, http.client.LineTooLong) as error:  # their texts are what the peer sent
            raise _not_http(url) from error
        except (OSError, http.client.HTTPException) as error:
            raise _broken(url) from error


def _broken(url: str) -> CommandError:
    return CommandError(
        f"The connection to {url} broke before the answer came, so the rows may be in: "
        "repeat with the same --key, which adds them once.",
        ExitCode.OUTCOME_UNKNOWN,
    )


def _open(path: Path) -> BinaryIO:
    """Open the file; standard input is copied first, because a request tells its length."""
    if path == STANDARD_INPUT:
        file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 (the caller closes it)
        shutil.copyfileobj(sys.stdin.buffer, file)
        file.seek(0)
        return file
    try:
        return path.open("rb")
    except OSError as error:
        raise CommandError(f"{path}: cannot be read: {error.strerror}.", ExitCode.USAGE) from error


class _Form:
    """A multipart form with one file, made while it is sent."""

    def __init__(self, name: str, file: BinaryIO, progress: Progress | None) -> None:
        self._file = file
        self._progress = progress
        boundary = secrets.token_hex(16)
        safe_name = re.sub(r'[\x00-\x1f"\\]', "_", name)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._head = (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="file"; filename="{safe_name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self.length = len(self._head) + os.fstat(file.fileno()).st_size + len(self._tail)

    def blocks(self) -> Iterator[bytes]:
        yield self._head
        while block := self._file.read(BLOCK_BYTES):
            yield block
            if self._progress is not None:
                self._progress(len(block))
        yield self._tail


def _connect(url: str) -> http.client.HTTPConnection:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None or parts.scheme not in {"http", "https"}:
        raise CommandError(f"{url}: is not the address of a server, such as http://127.0.0.1:3100.", ExitCode.USAGE)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(host, port, timeout=CONNECT_SECONDS)
    try:
        connection.connect()
    except ssl.SSLCertVerificationError as error:
        raise CommandError(f"The certificate of {url} is not trusted: {error.verify_message}.") from error
    except OSError as error:
        if isinstance(error, ssl.SSLError) or "handshake" in str(error):
            raise CommandError(f"What answers at {url} does not speak TLS; try http://.", ExitCode.USAGE) from error
        raise _unreachable(url, error) from error
    connection.sock.settimeout(ANSWER_SECONDS)
    return connection


def _answer(url: str, status: int, body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        if status < http.client.BAD_REQUEST:
            raise CommandError(f"What answers at {url} is not a lakehouse server.", ExitCode.USAGE)
        content = {}
    if status < http.client.BAD_REQUEST:
        return content
    code = content.get("code", f"http_{status}")
    detail = content.get("detail") or content.get("title") or http.client.responses.get(status, "")
    exits = dict.fromkeys(UNKNOWN_CODES, ExitCode.OUTCOME_UNKNOWN)
    if status == http.client.SERVICE_UNAVAILABLE:
        exits.setdefault(code, ExitCode.UNREACHABLE)
    if code in FLAG_OF_CODE:
        detail = f"{detail}; here it is given by {FLAG_OF_CODE[code]}"
    raise CommandError(f"{code}: {detail}", exits.get(code, ExitCode.ERROR))


def _unreachable(url: str, error: Exception) -> CommandError:
    if isinstance(error, ConnectionRefusedError):
        advice = 'start one with "lakehouse serve", or name another with --url'
        return CommandError(f"No server answers at {url}: {advice}.", ExitCode.UNREACHABLE)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return CommandError(f"No server answers at {url}: {reason}.", ExitCode.UNREACHABLE)


def _not_http(url: str) -> CommandError:
    advice = 'give --url the address that "lakehouse serve" prints as HTTP'
    return CommandError(f"What answers at {url} does not speak HTTP; {advice}.", ExitCode.USAGE)
