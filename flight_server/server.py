"""The Flight server: decode, call a use case, encode."""

import threading
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

import pyarrow as pa
import pyarrow.flight as fl

from catalog import ErrorKind, LakehouseError, quote_identifier

from .action_handlers import ActionHandlers, timestamp_scalar
from .auth import OpenHandshake
from .commands import (
    GetXdbcTypeInfo,
    MetadataCommand,
    PreparedStatementQuery,
    PreparedStatementUpdate,
    StatementQuery,
    StatementUpdate,
    TicketStatementQuery,
    decode_command,
    unsupported,
)
from .engine import Engine
from .errors import guarded, rpc
from .metadata import Metadata
from .middleware import CALL, CallFactory
from .plain_commands import PlainQuery, parameters_batch
from .queries import PlannedQuery
from .schemas import metadata_schema
from .services import ServerSettings, Services
from .sql_info import ServerInfo, sql_info_values
from .statements import Caller
from .targets import LakeSnapshots, MountedLake, resolve_target
from .tickets import is_sealed
from .uploads import Uploads, path_parts


class FlightServer(fl.FlightServerBase):  # type: ignore[misc]
    """Serves Flight and Flight SQL. It listens as soon as it is made, so make it last.

    Args:
        lakes: the mounted lakes; the first is the default catalog.
        engine: runs the SQL; it is closed by whoever made it.
        settings: where to listen, and the limits.
    """

    def __init__(self, lakes: Mapping[str, MountedLake], engine: Engine, settings: ServerSettings) -> None:
        self._services = Services(lakes, engine, settings)
        self._uploads = Uploads(self._services)
        self._actions = ActionHandlers(self._services)
        self._metadata = Metadata(sql_info_values(_server_info(engine, settings)))
        super().__init__(
            f"grpc://{settings.flight.host}:{settings.flight.port}",
            auth_handler=OpenHandshake(),
            middleware={CALL: CallFactory(self._services.sessions, self._services.signer)},
        )

    @property
    def address(self) -> str:
        """Where clients reach the server, such as ``grpc://127.0.0.1:8815``."""
        return f"grpc://{self._services.settings.flight.host}:{self.port}"

    def close(self) -> bool:
        """Stop: let running calls finish for ``flight.drain_seconds``, then cancel them. Whether all of them ended."""
        drain_seconds = self._services.settings.flight.drain_seconds
        stopping = threading.Thread(target=self.shutdown, name="flight-shutdown", daemon=True)
        stopping.start()
        stopping.join(drain_seconds)
        if stopping.is_alive():
            self._services.engine.close()
            stopping.join(drain_seconds)
        self._services.close()
        return not stopping.is_alive()

    @rpc
    def get_flight_info(self, context: fl.ServerCallContext, descriptor: fl.FlightDescriptor) -> fl.FlightInfo:
        """Plan a query, run a statement with an effect, or describe a metadata result."""
        if descriptor.descriptor_type is fl.DescriptorType.PATH:
            with self._services.plain_caller(context) as caller:
                sql, rows = self._dataset_query(descriptor, caller)
                return self._info(self._services.statements.query(sql, caller), descriptor, rows)
        command = decode_command(descriptor.command)
        if isinstance(command, GetXdbcTypeInfo):
            raise unsupported("CommandGetXdbcTypeInfo")
        if isinstance(command, MetadataCommand):
            ticket = fl.Ticket(descriptor.command)
            return fl.FlightInfo(metadata_schema(command), descriptor, [fl.FlightEndpoint(ticket, [])], -1, -1)
        return self._info(self._run(context, command), descriptor)

    @rpc
    def get_schema(self, context: fl.ServerCallContext, descriptor: fl.FlightDescriptor) -> fl.SchemaResult:
        """Describe what a query or a metadata command returns, without running it."""
        if descriptor.descriptor_type is fl.DescriptorType.PATH:
            with self._services.plain_caller(context) as caller:
                return fl.SchemaResult(
                    self._services.statements.schema(self._dataset_query(descriptor, caller)[0], caller)
                )
        command = decode_command(descriptor.command)
        match command:
            case StatementQuery() | StatementUpdate():
                sql, parameters, transaction_id = command.query, None, command.transaction_id
            case PreparedStatementQuery() | PreparedStatementUpdate():
                handle, parameters = self._services.statements.open(command.prepared_statement_handle)
                sql, transaction_id = handle.sql, handle.transaction_id
            case PlainQuery():
                with self._services.plain_caller(context) as caller:
                    return fl.SchemaResult(
                        self._services.statements.schema(
                            command.sql, caller, _parameters(command), text=command.format, versions=command.snapshot
                        )
                    )
            case command if isinstance(command, MetadataCommand):
                return fl.SchemaResult(metadata_schema(command))
            case _:
                raise unsupported(f"{type(command).__name__} in GetSchema")
        with self._services.caller(context, transaction_id) as caller:
            return fl.SchemaResult(self._services.statements.schema(sql, caller, parameters))

    @rpc
    def do_get(self, context: fl.ServerCallContext, ticket: fl.Ticket) -> fl.FlightDataStream:
        """Stream the rows of a ticket; or of a command that reads, for clients that skip GetFlightInfo."""
        if is_sealed(ticket.ticket):
            return self._stream(context, ticket.ticket)
        command = decode_command(ticket.ticket)
        if isinstance(command, TicketStatementQuery):
            return self._stream(context, command.statement_handle)
        if isinstance(command, MetadataCommand):
            snapshots = LakeSnapshots(self._services.lakes)
            return fl.RecordBatchStream(self._metadata.rows(command, snapshots))
        # A ticket may be read again: a statement with an effect would then run again.
        planned = self._run(context, command, read_only=True)
        return self._stream(context, self._services.signer.seal_ticket(planned.ticket))

    @rpc
    def do_put(
        self,
        context: fl.ServerCallContext,
        descriptor: fl.FlightDescriptor,
        reader: fl.MetadataRecordBatchReader,
        writer: fl.FlightMetadataWriter,
    ) -> None:
        """Take rows, parameters or a statement with an effect."""
        self._uploads.put(context, descriptor, reader, writer)

    @rpc
    def do_exchange(self, _context: fl.ServerCallContext, _descriptor: Any, _reader: Any, _writer: Any) -> None:
        """Refuse: nothing here needs it."""
        raise unsupported("DoExchange")

    @rpc
    def do_action(self, context: fl.ServerCallContext, action: fl.Action) -> Iterator[bytes]:
        """Run an action."""
        return iter(self._actions.run(context, action))

    @rpc
    def list_actions(self, _context: fl.ServerCallContext) -> list[fl.ActionType]:
        """List the actions."""
        return self._actions.list()

    @rpc
    def list_flights(self, context: fl.ServerCallContext, criteria: bytes) -> Iterator[fl.FlightInfo]:
        """List the datasets of all lakes; the criteria, if any, is the name of one lake."""
        wanted = criteria.decode(errors="replace") if criteria else None
        snapshots = LakeSnapshots(self._services.lakes)
        for lake in self._services.lakes:
            if wanted in {None, lake}:
                yield from self._flights(context, lake, snapshots)

    def _flights(self, context: fl.ServerCallContext, lake: str, snapshots: LakeSnapshots) -> Iterator[fl.FlightInfo]:
        for entry in snapshots[lake].entries():
            descriptor = fl.FlightDescriptor.for_path(lake, entry.name.schema, entry.name.name)
            with self._services.plain_caller(context) as caller:
                sql = _select_all(lake, entry.name.schema, entry.name.name)
                planned = self._services.statements.query(sql, caller)
            yield self._info(planned, descriptor, entry.row_count)

    def _run(self, context: fl.ServerCallContext, command: object, *, read_only: bool = False) -> PlannedQuery:
        statements = self._services.statements
        match command:
            case StatementQuery():
                with self._services.caller(context, command.transaction_id) as caller:
                    return statements.query(command.query, caller, read_only=read_only)
            case PreparedStatementQuery():
                handle, parameters = statements.open(command.prepared_statement_handle)
                with self._services.caller(context, handle.transaction_id) as caller:
                    return statements.query(handle.sql, caller, parameters, read_only=read_only)
            case PlainQuery():
                with self._services.plain_caller(context) as caller:
                    return statements.query(
                        command.sql,
                        caller,
                        _parameters(command),
                        text=command.format,
                        versions=command.snapshot,
                        read_only=read_only or command.read_only,
                    )
        raise unsupported(f"{type(command).__name__} as a query")

    def _info(self, answer: PlannedQuery, descriptor: fl.FlightDescriptor, total_records: int = -1) -> fl.FlightInfo:
        if answer.changed_rows is not None:
            total_records = answer.changed_rows
        endpoint = fl.FlightEndpoint(
            fl.Ticket(self._services.signer.seal_ticket(answer.ticket)), [], timestamp_scalar(answer.ticket.expires_at)
        )
        return fl.FlightInfo(answer.plan.schema, descriptor, [endpoint], total_records, -1, ordered=True)

    def _dataset_query(self, descriptor: fl.FlightDescriptor, caller: Caller) -> tuple[str, int]:
        target = resolve_target(path_parts(descriptor), caller.defaults, self._services.lakes)
        entry = LakeSnapshots(self._services.lakes)[target.lake].entry(target.name)
        return _select_all(target.lake, target.name.schema, target.name.name), entry.row_count

    def _stream(self, context: fl.ServerCallContext, sealed: bytes) -> fl.GeneratorStream:
        ticket = self._services.signer.open_ticket(sealed)
        transaction = (
            self._services.session(context).transaction(ticket.transaction_id) if ticket.transaction_id else None
        )
        schema = self._services.queries.schema(ticket, transaction)

        def batches() -> Iterator[pa.RecordBatch]:
            # The query starts when the first batch is asked for: a stream that is never read takes nothing.
            with (
                self._services.queries.execute(ticket, transaction) as stream,
                self._services.running.running(ticket.nonce, stream.cancel),
                self._services.watch.watching(context, stream.cancel),
            ):
                if stream.schema != schema:
                    raise LakehouseError(
                        ErrorKind.INTERNAL, "schema_changed", "The result's schema is not the one that was announced."
                    )
                yield from stream

        return fl.GeneratorStream(schema, guarded(batches(), context, rpc="do_get"))


def _server_info(engine: Engine, settings: ServerSettings) -> ServerInfo:
    return ServerInfo(
        name="Arrow Lakehouse",
        version=version("arrow-lakehouse"),
        engine=engine.info(),
        statement_timeout_seconds=settings.engine.statement_timeout_seconds,
        max_sql_bytes=settings.engine.max_sql_bytes,
        transaction_idle_seconds=settings.sessions.idle_seconds,
        max_columns=settings.writer.max_columns,
    )


def _parameters(command: PlainQuery) -> pa.RecordBatch | None:
    return parameters_batch(command.parameters) if command.parameters else None


def _select_all(lake: str, schema: str, name: str) -> str:
    return "FROM " + ".".join(map(quote_identifier, (lake, schema, name)))
