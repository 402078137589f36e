"""The HTTP server: our application on waitress, started, stopped and drained."""

import tempfile
import threading
import time
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer

from clients import Client

from .app import create_app
from .http_channel import LimitedParser, LingeringChannel
from .multipart import FRAMING_BYTES
from .settings import HttpSettings

_RECEIVE_BYTES = 256 << 10
_MEMORY_BODY_BYTES = 1 << 20
"""Bodies above this are spooled to a temporary file while they arrive."""

_POLL_SECONDS = 0.25
"""How often idle connections and the end of a drain are looked at."""


class _Waitress(TcpWSGIServer):  # type: ignore[misc]
    """A waitress server that also hangs up on readers that stopped reading."""

    def maintenance(self, now: float) -> None:
        super().maintenance(now)
        for channel in list(self.active_channels.values()):
            if channel.is_stuck(now - self.adj.channel_timeout):
                channel.handle_close()  # at once: marked for closing, it would wait until its reader reads


class HttpServer:
    """The HTTP server over a client of the Flight server. It answers as soon as it is made.

    Raises:
        OSError: the address cannot be listened on.
    """

    def __init__(self, settings: HttpSettings, client: Client) -> None:
        self._settings = settings
        self._sockets: dict[int, Any] = {}
        self._closing = threading.Event()
        if settings.spool_directory is not None:
            tempfile.tempdir = str(settings.spool_directory)  # the only way to tell waitress
        app = create_app(settings, client)
        self._server = _server_class(settings)(app, map=self._sockets, adj=_adjustments(settings))
        self._thread = threading.Thread(target=self._run, name="http-server", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Where clients reach the server, such as ``http://127.0.0.1:3100``."""
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        return f"http://{host}:{self._server.effective_port}"

    def close(self) -> None:
        """Stop: no new connections, and ``http.drain_seconds`` for the requests that have begun."""
        if not self._closing.is_set():
            self._closing.set()
            self._server.pull_trigger()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._poll()
        self._server.accepting = False
        self._server.del_channel()
        self._server.socket.close()
        deadline = time.monotonic() + self._settings.drain_seconds
        while self._is_busy() and time.monotonic() < deadline:
            self._poll()
        for channel in list(self._server.active_channels.values()):
            channel.handle_close()  # what still writes to it finds it closed, and ends
        self._server.task_dispatcher.shutdown()
        wasyncore.close_all(self._sockets, ignore_all=True)

    def _poll(self) -> None:
        wasyncore.loop(timeout=_POLL_SECONDS, use_poll=True, map=self._sockets, count=1)

    def _is_busy(self) -> bool:
        return any(
            channel.requests or channel.request is not None or channel.total_outbufs_len
            for channel in list(self._server.active_channels.values())
        )


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
