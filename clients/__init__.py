"""Python clients: `connect` over Arrow Flight; `clients.adbc.connect_adbc` for the DBAPI.

The latter is not imported here: its driver imports pandas and polars if they are there, which servers need not pay for.
"""

from .address import DEFAULT_URI
from .client import Client, IngestMode, JsonObject, JsonScalar, TextFormat, connect
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
]
