"""The face of the lakehouse: the command line, and `connect` for Python users."""

from importlib.metadata import version

from clients import Client, IngestResult, LakehouseClientError, QueryResult, connect

__version__ = version("arrow-lakehouse")

__all__ = ["Client", "IngestResult", "LakehouseClientError", "QueryResult", "__version__", "connect"]
