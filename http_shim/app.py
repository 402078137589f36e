"""The Flask application: routes, what is checked before them and what becomes of their errors."""

import logging
import re
import secrets
import time

from flask import Flask, Response, g, request

from clients import Client

from .browser_safety import install_browser_safety
from .dataset_routes import dataset_routes
from .errors import install_error_handlers
from .health_routes import health_routes
from .ingest_routes import ingest_routes
from .route_list import route_list
from .settings import HttpSettings
from .sql_routes import sql_routes

_LOG = logging.getLogger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def create_app(settings: HttpSettings, client: Client) -> Flask:
    """Return the WSGI application over a client of the Flight server."""
    app = Flask("http_shim", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    _install_request_ids(app)
    install_error_handlers(app, retry_after_seconds=settings.retry_after_seconds)
    install_browser_safety(app, settings)
    for routes in (
        sql_routes(settings, client),
        ingest_routes(settings, client),
        dataset_routes(client),
        health_routes(client),
        route_list(),
    ):
        app.register_blueprint(routes)
    return app


def _install_request_ids(app: Flask) -> None:
    """Give every request an id, the client's own if it sent one, that its answer and our log carry."""

    def begin() -> None:
        sent = request.headers.get("X-Request-Id", "")
        g.request_id = sent if _REQUEST_ID.fullmatch(sent) else secrets.token_hex(8)
        g.begun = time.perf_counter()

    def end(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        response.headers["X-Content-Type-Options"] = "nosniff"
        milliseconds = (time.perf_counter() - g.begun) * 1000
        code = f", code={g.problem_code}" if "problem_code" in g else ""
        status = response.status_code
        _LOG.info("%s %s %d %.1f ms, id=%s%s", request.method, request.path, status, milliseconds, g.request_id, code)
        return response

    app.before_request(begin)
    app.after_request(end)
