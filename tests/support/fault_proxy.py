"""A proxy before a real S3 server that loses requests or answers on the way."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Loss(Enum):
    """What gets lost."""

    REQUEST = "request"
    ANSWER = "answer"


Fault = Callable[[str, str], Loss | None]
"""Decides by method and path (with query) what happens to a request; None lets it pass."""


class FaultProxy(ThreadingHTTPServer):
    """Passes requests on as they are, the Host header too, so that signatures stay valid."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.target = urlsplit(target).netloc
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        self.fault: Fault = lambda method, path: None
        self.requests: list[str] = []

    def lose_once(self, loss: Loss, method: str, part_of_path: str) -> None:
        """Lose one request, or its answer: the next one with this method and this in its path or query."""
        left = [loss]

        def decide(seen_method: str, path: str) -> Loss | None:
            return left.pop() if left and seen_method == method and part_of_path in path else None

        self.fault = decide


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultProxy

    def handle_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append(f"{self.command} {self.path}")
        loss = self.server.fault(self.command, self.path)
        if loss is Loss.REQUEST:
            self.close_connection = True
            return
        status, headers, answer = self.pass_on(body)
        if loss is Loss.ANSWER:
            self.close_connection = True
            return
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in {"transfer-encoding", "connection"}:
                self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_request  # noqa: N815 - the names http.server looks for

    def pass_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.server.target, timeout=30)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "expect":
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def running(target: str) -> Iterator[FaultProxy]:
    with FaultProxy(target) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
