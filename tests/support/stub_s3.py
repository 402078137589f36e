"""A small HTTP server that speaks enough S3 for a store, ignores every condition, and fails as it is told."""

import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Fault = Callable[["Handler"], None]
"""Answers a request in place of the server."""


class StubS3(ThreadingHTTPServer):
    """The objects, the requests seen, and the faults for the next requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.faults: list[Fault] = []
        self.endpoint = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StubS3

    def handle_request(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.key = urllib.parse.unquote(self.path.partition("?")[0]).strip("/")
        self.server.requests.append(f"{self.command} {self.path}")
        if self.server.faults:
            self.server.faults.pop(0)(self)
        elif self.command == "PUT":
            self.server.objects[self.key] = self.body
            self.answer(200, b"", self.body)
        elif self.command == "POST":
            self.answer(200, b"<DeleteResult/>")
        elif self.key in self.server.objects:
            content = self.server.objects[self.key]
            self.answer(200, content, content)
        else:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    do_GET = do_PUT = do_POST = do_HEAD = handle_request  # noqa: N815 - the names that http.server looks for

    def answer(self, status: int, body: bytes, content: bytes = b"", *, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("ETag", f'"{md5(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def status(code: int, error: str = "Told") -> Fault:
    """Answer with a status and an error code of S3."""
    return lambda handler: handler.answer(code, f"<Error><Code>{error}</Code></Error>".encode())


def broken_off(handler: Handler) -> None:
    """Promise more bytes than come before the connection ends."""
    handler.answer(200, b"only a part", length=1000)
    handler.close_connection = True


def hang_up(handler: Handler) -> None:
    """End the connection without an answer."""
    handler.close_connection = True


@contextmanager
def running() -> Iterator[StubS3]:
    with StubS3() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
