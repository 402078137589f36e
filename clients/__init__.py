"""Python clients: `connect` over Arrow Flight, `connect_adbc` for the DBAPI."""

from .adbc import connect_adbc
from .client import DEFAULT_URI, Client, IngestMode, JsonObject, JsonScalar, TextFormat, connect
from .errors import ErrorKind, LakehouseClientError
from .ingest import IngestResult, Progress
from .results import QueryResult

__all__ = [
    "DEFAULT_URI",
    "Client",
    "ErrorKind",
    "IngestMode",
    "IngestResult",
    "JsonObject",
    "JsonScalar",
    "LakehouseClientError",
    "Progress",
    "QueryResult",
    "TextFormat",
    "connect",
    "connect_adbc",
]
