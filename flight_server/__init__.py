"""The Flight and Flight SQL server."""

from .engine import Engine
from .engine.duckdb_engine import DuckDBEngine
from .server import FlightServer
from .services import ServerSettings
from .settings import EngineSettings, FlightSettings, SessionSettings
from .targets import MountedLake

__all__ = [
    "DuckDBEngine",
    "Engine",
    "EngineSettings",
    "FlightServer",
    "FlightSettings",
    "MountedLake",
    "ServerSettings",
    "SessionSettings",
]
