"""Put the parts together: settings → stores → lakes → engine → servers. The only place that knows them all."""

from contextlib import ExitStack
from typing import Protocol

from catalog import (
    BlockCache,
    DirectReader,
    Lake,
    LakehouseError,
    ObjectReader,
    ObjectStore,
    StoreUnavailableError,
    open_store,
)
from flight_server import DuckDBEngine, FlightServer, MountedLake, ServerSettings
from http_shim import HttpServer

from .exits import CommandError, ExitCode
from .settings import Settings


class Tower(Protocol):
    """A running server."""

    @property
    def address(self) -> str:
        """Where clients reach it, such as ``grpc://127.0.0.1:8815``."""
        ...

    def close(self) -> object:
        """Let running requests finish, then stop."""
        ...


def open_stores(settings: Settings) -> dict[str, ObjectStore]:
    """Open the store of each lake; nothing is asked of a remote one yet."""
    stores = {}
    for name, lake in settings.lakes.items():
        try:
            stores[name] = open_store(name, lake, settings.store, settings.secrets.file)
        except StoreUnavailableError as error:
            raise CommandError(f"lake {name}: its store cannot be opened: {error}.", ExitCode.UNREACHABLE) from error
    return stores


class FlightTower:
    """The Flight server with its lakes and its engine, opened in order and closed in the opposite order.

    Raises:
        CommandError: the address cannot be listened on, or a lake cannot be opened; one sentence says which and why.
    """

    def __init__(self, settings: Settings) -> None:
        self._open = ExitStack()
        try:
            lakes = {name: self._mount(name, store, settings) for name, store in open_stores(settings).items()}
            engine = DuckDBEngine(settings.engine)
            self._open.callback(engine.close)
            self._server = FlightServer(
                lakes, engine, ServerSettings(settings.flight, settings.sessions, settings.writer)
            )
            self._open.callback(self._server.close)
        except BaseException:
            self._open.close()
            raise

    @property
    def address(self) -> str:
        """Where clients reach it."""
        return self._server.address

    def close(self) -> None:
        """Let running calls finish, then close everything."""
        self._open.close()

    def _mount(self, name: str, store: ObjectStore, settings: Settings) -> MountedLake:
        chosen = settings.lakes[name]
        try:
            lake = Lake.open(name, store, commit=settings.commit, single_writer=chosen.single_writer)
        except LakehouseError as error:
            raise LakehouseError(error.kind, error.code, f"lake {name}: {error.message}") from error
        self._open.callback(lake.close)
        if chosen.path is not None:
            return MountedLake(lake, DirectReader(store))
        cache = BlockCache(store, settings.cache)
        self._open.callback(cache.close)
        return MountedLake(lake, cache)
