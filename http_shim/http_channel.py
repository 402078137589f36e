"""waitress, taught four things that it does not do.

A refused request is answered as a problem in JSON. A client that waits for ``100 Continue`` is not asked to send a body
that was refused already. A connection is not closed while its client still sends what we refused: that resets it before the
client has read why. And a reader that takes nothing of its answer any more is hung up on, as an idle client is.
"""

import socket
import time
from http import HTTPStatus
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.task import ErrorTask
from waitress.utilities import RequestEntityTooLarge

from .errors import CODE_OF_STATUS, PROBLEM_JSON, problem_json

UPLOAD_PATH = "/v1/ingest"
_DROP_BYTES = 1 << 20
_DETAILS = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the body is larger than this server takes; see http.max_body_bytes, max_sql_bytes",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "the headers are larger than this server takes",
}


class LimitedParser(HTTPRequestParser):  # type: ignore[misc]
    """Reads requests; a body other than an upload has a small limit, and a refused body is not asked for."""

    error: Any = None
    small_body_bytes = 0

    def received(self, data: bytes) -> int:
        """Take bytes from the connection; return how many belong to this request."""
        consumed: int = super().received(data)
        if self.error is None and self.headers_finished and getattr(self, "path", "") != UPLOAD_PATH:
            size = max(self.content_length, self.body_bytes_received)
            if size > self.small_body_bytes:
                self.error = RequestEntityTooLarge(f"more than {self.small_body_bytes} bytes")
                self.completed = True
        if self.error is not None:
            self.expect_continue = False
        return consumed


class ProblemTask(ErrorTask):  # type: ignore[misc]
    """Answers a request that never reached the application."""

    def execute(self) -> None:
        """Write the problem; the connection ends with it."""
        error = self.request.error
        status = HTTPStatus(error.code)
        detail = _DETAILS.get(
            status, "the server failed" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else str(error.body)
        )
        body = problem_json(status, CODE_OF_STATUS.get(status, "bad_request"), detail)
        self.status = f"{status.value} {status.phrase}"
        self.response_headers.append(("Content-Type", PROBLEM_JSON))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.channel.lingers = True
        self.write(body)


class LingeringChannel(HTTPChannel):  # type: ignore[misc]
    """A connection that, after a refusal, reads and drops what the client still sends, for a while."""

    close_when_flushed: Any = False
    will_close: Any = False
    parser_class = LimitedParser
    error_task_class = ProblemTask
    linger_seconds = 0.0
    lingers = False
    _drop_until: float | None = None

    def handle_write(self) -> None:
        """Send what waits to be sent; after a refusal end our side only, instead of closing."""
        if self.will_close or not (self.lingers and self.close_when_flushed):
            super().handle_write()
            return
        self._flush_exception(self._flush_some)
        if self.total_outbufs_len or self.will_close:
            return
        self.close_when_flushed = False
        self._drop_until = time.monotonic() + self.linger_seconds
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.will_close = True

    def readable(self) -> bool:
        """Tell whether we want to hear more."""
        return self._drop_until is not None or bool(super().readable())

    def handle_read(self) -> None:
        """Read; what comes after a refusal is dropped."""
        if self._drop_until is None:
            super().handle_read()
            return
        try:
            data = self.recv(_DROP_BYTES)  # at the client's end, this closes the channel
        except OSError:
            data = b""
        if not data or time.monotonic() > self._drop_until:
            self.will_close = True

    def write_soon(self, data: Any) -> int:
        """Queue bytes of an answer. It is not late yet, however long its request had to wait for a thread."""
        if not self.total_outbufs_len:
            self.last_activity = time.time()
        return int(super().write_soon(data))

    def is_stuck(self, since: float) -> bool:
        """Tell whether an answer waits to be sent and none of it was taken since that time."""
        return bool(self.total_outbufs_len) and bool(self.last_activity < since)
