"""What the RPCs work with: the use cases, put together once."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow.flight as fl

from catalog import WriterSettings

from .cancellation import CancellationWatch
from .catalog_actions import CatalogActions
from .engine import Engine
from .ingest import Ingestor
from .middleware import current_call
from .queries import Queries
from .running import RunningQueries
from .sessions import Session, Sessions
from .settings import EngineSettings, FlightSettings, SessionSettings
from .statements import Caller, Statements
from .targets import Defaults, MountedLake
from .tickets import Signer
from .updates import Updates


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The settings that the server takes: its own, and the limits of what it runs and writes."""

    flight: FlightSettings
    sessions: SessionSettings
    engine: EngineSettings
    writer: WriterSettings


class Services:
    """The use cases of the server, shared by its RPCs.

    Args:
        lakes: the mounted lakes; the first is the default catalog.
        engine: runs the SQL; belongs to the caller.
        settings: the limits.
    """

    def __init__(self, lakes: Mapping[str, MountedLake], engine: Engine, settings: ServerSettings) -> None:
        flight = settings.flight
        self.lakes = lakes
        self.engine = engine
        self.settings = settings
        self.signer = Signer(flight.signing_key.get_secret_value().encode() if flight.signing_key else None)
        self.sessions = Sessions(settings.sessions)
        self.watch = CancellationWatch(flight.cancellation_poll_seconds)
        self.running = RunningQueries()
        self.queries = Queries(lakes, engine, flight.ticket_seconds)
        self.ingestor = Ingestor(lakes, settings.writer)
        self.updates = Updates(lakes, engine, self.queries, self.ingestor)
        self.statements = Statements(lakes, engine, self.queries, self.updates, self.signer, flight.handle_seconds)
        self.catalog_actions = CatalogActions(lakes, settings.writer)

    def session(self, context: fl.ServerCallContext) -> Session:
        """Return the caller's session."""
        return current_call(context).session(context)

    def defaults(self, session: Session | None = None) -> Defaults:
        """Return the lake and schema that names without them mean in a session."""
        lake, schema = next(iter(self.lakes)), "main"
        if session is not None:
            lake = str(session.option("catalog") or lake)
            schema = str(session.option("schema") or schema)
        return Defaults(lake, schema)

    @contextmanager
    def caller(self, context: fl.ServerCallContext, transaction_id: bytes | None = None) -> Iterator[Caller]:
        """Give the caller of a Flight SQL command; its statement is cancelled when the client goes away."""
        session = self.session(context)
        transaction = session.transaction(transaction_id) if transaction_id else session.current()
        with self._cancellable(context) as on_running:
            yield Caller(session, self.defaults(session), transaction, on_running)

    @contextmanager
    def plain_caller(self, context: fl.ServerCallContext) -> Iterator[Caller]:
        """Give the caller of a plain command: it has no session, for many people may share its connection."""
        with self._cancellable(context) as on_running:
            yield Caller(None, self.defaults(), None, on_running)

    @contextmanager
    def _cancellable(self, context: fl.ServerCallContext) -> Iterator[Callable[[Callable[[], None]], None]]:
        running: list[Callable[[], None]] = []
        gone = False

        def on_running(cancel: Callable[[], None]) -> None:
            running.append(cancel)
            if gone:
                cancel()

        def on_cancel() -> None:
            nonlocal gone
            gone = True
            for cancel in running:
                cancel()

        with self.watch.watching(context, on_cancel):
            yield on_running

    def close(self) -> None:
        """Roll back what is open and stop watching; the engine and the lakes are the caller's."""
        self.sessions.close_all()
        self.watch.close()
