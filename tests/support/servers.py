"""Real servers on free ports: Flight on a lake in a folder, and HTTP in front of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catalog import CommitSettings, DirectReader, Lake, LocalStore, WriterSettings
from clients import Client, connect
from flight_server import (
    DuckDBEngine,
    EngineSettings,
    FlightServer,
    FlightSettings,
    MountedLake,
    ServerSettings,
    SessionSettings,
)
from http_shim import HttpServer, HttpSettings


@contextmanager
def flight_server(folder: Path, engine: EngineSettings | None = None) -> Iterator[FlightServer]:
    """Serve the lake in a folder."""
    store = LocalStore(folder)
    lake = Lake.open("lake", store, commit=CommitSettings())
    duckdb = DuckDBEngine(engine or EngineSettings())
    settings = ServerSettings(FlightSettings(port=0), SessionSettings(), engine or EngineSettings(), WriterSettings())
    server = FlightServer({"lake": MountedLake(lake, DirectReader(store))}, duckdb, settings)
    try:
        yield server
    finally:
        server.close()
        duckdb.close()
        lake.close()


@contextmanager
def http_server(client: Client, **settings) -> Iterator[HttpServer]:
    """Serve HTTP over a client."""
    server = HttpServer(HttpSettings(port=0, drain_seconds=5, **settings), client)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def flight_client(folder: Path, engine: EngineSettings | None = None) -> Iterator[Client]:
    """Return a client of a new Flight server on the lake in a folder."""
    with flight_server(folder, engine) as server, connect(server.address) as client:
        yield client
