"""The HTTP face of a lakehouse server: formats and status codes over a client of its Flight server."""

from .app import create_app
from .server import HttpServer
from .settings import HttpSettings

__all__ = ["HttpServer", "HttpSettings", "create_app"]
