"""Put the parts together: settings → stores → lakes → engine → servers. The only place that knows them all."""

import errno
import socket
from contextlib import ExitStack
from typing import Protocol

import pyarrow as pa

from catalog import (
    BlockCache,
    DirectReader,
    Lake,
    LakehouseError,
    LakeSettings,
    ObjectStore,
    StoreUnavailableError,
    open_store,
)
from clients import connect
from flight_server import DuckDBEngine, Engine, FlightServer, MountedLake, ServerSettings
from http_shim import HttpServer

from .exits import CommandError, ExitCode
from .settings import Settings, place

NO_KEYS = "There are no keys to the bucket: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or [secrets] file."


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
            raise CommandError(f"{place(lake)}: cannot be opened: {error}.", ExitCode.UNREACHABLE) from error
    return stores


def of_lake(error: LakehouseError, lake: LakeSettings) -> LakehouseError:
    """Return the error with the place of the lake that it is about, and advice if the keys to it are missing."""
    message, cause = error.message, error.__cause__
    while cause is not None:
        if type(cause).__name__ == "NoCredentialsError":  # boto3's; only the store may import it
            message = NO_KEYS
        cause = cause.__cause__
    return LakehouseError(error.kind, error.code, f"{place(lake)}: {message}")


class FlightTower:
    """The Flight server with its lakes and its engine, opened in order and closed in the opposite order.

    Raises:
        CommandError: the address cannot be listened on, or a lake cannot be opened; one sentence says which and why.
    """

    def __init__(self, settings: Settings) -> None:
        _check_free("flight", settings.flight.host, settings.flight.port)
        self._open = ExitStack()
        try:
            lakes = {name: self._mount(name, store, settings) for name, store in open_stores(settings).items()}
            engine = DuckDBEngine(settings.engine)
            self._open.callback(engine.close)
            self._server = self._listen(lakes, engine, settings)
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

    @staticmethod
    def _listen(lakes: dict[str, MountedLake], engine: Engine, settings: Settings) -> FlightServer:
        try:
            parts = ServerSettings(settings.flight, settings.sessions, settings.engine, settings.writer)
            return FlightServer(lakes, engine, parts)
        except (OSError, pa.ArrowException) as error:
            raise _cannot_listen("flight", settings.flight.host, settings.flight.port, error) from error

    def _mount(self, name: str, store: ObjectStore, settings: Settings) -> MountedLake:
        chosen = settings.lakes[name]
        try:
            lake = Lake.open(name, store, commit=settings.commit, single_writer=chosen.single_writer)
        except LakehouseError as error:
            raise of_lake(error, chosen) from error
        self._open.callback(lake.close)
        if chosen.path is not None:
            return MountedLake(lake, DirectReader(store))
        return MountedLake(lake, BlockCache(store, settings.cache))


class HttpTower:
    """The HTTP server, a client of a Flight server.

    Raises:
        CommandError: the address cannot be listened on.
    """

    def __init__(self, settings: Settings, flight_uri: str) -> None:
        self._client = connect(flight_uri)
        try:
            self._server = HttpServer(settings.http, self._client)
        except OSError as error:
            raise _cannot_listen("http", settings.http.host, settings.http.port, error) from error

    @property
    def address(self) -> str:
        """Where clients reach it."""
        return self._server.address

    def close(self) -> None:
        """Let running requests finish, then stop."""
        self._server.close()
        self._client.close()


def _check_free(tower: str, host: str, port: int) -> None:
    """Raise CommandError if the address cannot be listened on. gRPC would say so too, but not why."""
    if port == 0:
        return
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise _cannot_listen(tower, host, port, error) from error


def _cannot_listen(tower: str, host: str, port: int, error: Exception) -> CommandError:
    reason = getattr(error, "strerror", None) or "it is taken, or not an address of this machine"
    if getattr(error, "errno", None) == errno.EADDRINUSE:
        reason += f": a server may be running already; choose another port with --{tower} {host}:0"
    return CommandError(f"{tower} cannot listen on {host}:{port}: {reason}.")
