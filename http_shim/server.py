"""The HTTP server: our application on waitress, started, stopped and drained."""

import logging
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from flask import Flask
from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer

from clients import Client

from .app import create_app
from .browser_safety import is_loopback
from .http_channel import LimitedParser, LingeringChannel
from .multipart import FRAMING_BYTES
from .settings import HttpSettings

_LOG = logging.getLogger(__name__)
_RECEIVE_BYTES = 256 << 10
_MEMORY_BODY_BYTES = 1 << 20
"""Bodies above this are spooled to a temporary file while they arrive."""

_POLL_SECONDS = 1.0


class _Waitress(TcpWSGIServer):  # type: ignore[misc]
    """A waitress server that also hangs up on readers that stopped reading."""

    def maintenance(self, now: float) -> None:
        super().maintenance(now)
        for channel in self.active_channels.values():
            if channel.is_stuck(now - self.adj.channel_timeout):
                channel.will_close = True


class HttpServer:
    """A server that is bound to its address; `run` serves until `stop`."""

    def __init__(self, settings: HttpSettings, app: Flask) -> None:
        self._sockets: dict[int, Any] = {}
        self._stopping = threading.Event()
        self._deadline = float("inf")
        if settings.spool_directory is not None:
            tempfile.tempdir = str(settings.spool_directory)  # the only way to tell waitress
        self._server = _server_class(settings)(app, map=self._sockets, adj=_adjustments(settings))
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.port = int(self._server.effective_port)
        self.url = f"http://{host}:{self.port}"

    def run(self) -> None:
        """Serve until `stop` is called, then finish the requests that have begun."""
        while not self._stopping.is_set():
            self._poll()
        self._server.accepting = False
        self._server.del_channel()
        self._server.socket.close()
        while self._is_busy() and time.monotonic() < self._deadline:
            self._poll()
        self._server.task_dispatcher.shutdown()
        self._server.trigger.close()
        wasyncore.close_all(self._sockets, ignore_all=True)

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Let `run` end: no new connections, and this long for what has begun. From any thread or a signal handler."""
        self._deadline = time.monotonic() + grace_seconds
        self._stopping.set()
        self._server.pull_trigger()

    def _poll(self) -> None:
        wasyncore.loop(timeout=_POLL_SECONDS, use_poll=True, map=self._sockets, count=1)

    def _is_busy(self) -> bool:
        return any(
            channel.requests or channel.request is not None or channel.total_outbufs_len
            for channel in list(self._server.active_channels.values())
        )


def serve(
    settings: HttpSettings,
    client: Client,
    *,
    on_ready: Callable[[HttpServer], None] = lambda _: None,
    grace_seconds: float = 10.0,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Call it in the main thread of a process.

    Args:
        settings: the address and every limit.
        client: of the Flight server that does the work.
        on_ready: called once the server is bound, with its url.
        grace_seconds: how long requests that have begun may take to end.
    """
    server = HttpServer(settings, create_app(settings, client))
    if not is_loopback(settings.host):
        _LOG.warning("listening on %s, which other machines can reach", server.url)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop(grace_seconds))
    on_ready(server)
    server.run()


def _server_class(settings: HttpSettings) -> type[_Waitress]:
    limits = {"small_body_bytes": settings.max_sql_bytes}
    parser = type("Parser", (LimitedParser,), limits)
    channel = type("Channel", (LingeringChannel,), {"parser_class": parser, "linger_seconds": settings.linger_seconds})
    return type("Waitress", (_Waitress,), {"channel_class": channel})


def _adjustments(settings: HttpSettings) -> Adjustments:
    return Adjustments(
        host=settings.host,
        port=settings.port,
        threads=settings.threads,
        connection_limit=settings.max_connections,
        channel_timeout=settings.channel_timeout_seconds,
        cleanup_interval=min(settings.channel_timeout_seconds, 10),
        max_request_header_size=settings.max_header_bytes,
        # The cap is on the file; multipart framing comes on top, and waitress refuses what is equal to its limit.
        max_request_body_size=settings.max_body_bytes + FRAMING_BYTES + 1,
        recv_bytes=_RECEIVE_BYTES,
        inbuf_overflow=_MEMORY_BODY_BYTES,
        outbuf_high_watermark=settings.send_buffer_bytes,
        outbuf_overflow=2 * settings.send_buffer_bytes,
        log_socket_errors=False,
        asyncore_use_poll=True,
        ident=None,
    )
