"""A real Flight server in this process, over a lake in a temporary folder."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from catalog import CommitSettings, DirectReader, Lake, LocalStore, WriterSettings
from flight_server import (
    DuckDBEngine,
    EngineSettings,
    FlightServer,
    FlightSettings,
    MountedLake,
    ServerSettings,
    SessionSettings,
)

ServerFactory = Callable[..., FlightServer]


@pytest.fixture
def serve(tmp_path) -> Iterator[ServerFactory]:
    """Start servers; each call may give other settings. Lakes of the same name share their folder."""
    with ExitStack() as stack:

        def start(*lakes: str, **settings) -> FlightServer:
            mounted = {}
            for name in lakes or ("lake",):
                store = LocalStore(tmp_path / name, fsync=False)
                lake = Lake.open(name, store, commit=CommitSettings())
                stack.callback(lake.close)
                mounted[name] = MountedLake(lake, DirectReader(store))
            engine_settings = settings.pop("engine", EngineSettings(max_concurrent_statements=4))
            engine = DuckDBEngine(engine_settings)
            stack.callback(engine.close)
            sessions = settings.pop("sessions", SessionSettings())
            writer = settings.pop("writer", WriterSettings())
            flight = FlightSettings(port=0, drain_seconds=2, **settings)
            server = FlightServer(mounted, engine, ServerSettings(flight, sessions, engine_settings, writer))
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def client(serve) -> Iterator[fl.FlightClient]:
    """A stock client of a server with one lake."""
    with fl.connect(serve().address) as connected:
        yield connected


@pytest.fixture
def numbers() -> pa.Table:
    """Ten rows, two columns."""
    return pa.table({"n": pa.array(range(10), pa.int64()), "word": [f"word {n}" for n in range(10)]})
