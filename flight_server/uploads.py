"""DoPut: record batches into datasets, parameters into prepared statements, and statements with an effect."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.flight as fl

from catalog import ErrorKind, LakehouseError, ProducerSequence

from .commands import (
    PreparedStatementQuery,
    PreparedStatementUpdate,
    StatementIngest,
    StatementUpdate,
    TableExists,
    TableNotExist,
    decode_command,
    encode_bind_result,
    encode_update_result,
    unsupported,
)
from .ingest import Chunk, IngestMode, IngestRequest, IngestResult
from .middleware import Call, current_call
from .plain_commands import PlainPut, check_put
from .queries import single_batch
from .services import Services
from .statements import Caller
from .targets import Defaults, Target, require_lake, resolve_target

_INGEST_MODES = {
    (TableNotExist.CREATE, TableExists.FAIL): IngestMode.CREATE,
    (TableNotExist.FAIL, TableExists.APPEND): IngestMode.APPEND,
    (TableNotExist.CREATE, TableExists.REPLACE): IngestMode.OVERWRITE,
    (TableNotExist.CREATE, TableExists.APPEND): IngestMode.CREATE_APPEND,
}


class Uploads:
    """Serves DoPut.

    Args:
        services: the use cases.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._slots = threading.BoundedSemaphore(services.settings.flight.max_concurrent_uploads)

    def put(
        self,
        context: fl.ServerCallContext,
        descriptor: fl.FlightDescriptor,
        reader: fl.MetadataRecordBatchReader,
        writer: fl.FlightMetadataWriter,
    ) -> None:
        """Serve one DoPut: read what the command wants read, then answer with exactly one message."""
        if descriptor.descriptor_type is fl.DescriptorType.PATH:
            put = _put_by_headers(current_call(context))
            writer.write(self._plain_put(context, path_parts(descriptor), put, reader))
            return
        match command := decode_command(descriptor.command):
            case PlainPut():
                writer.write(self._plain_put(context, command.dataset.split("."), command, reader))
            case StatementIngest():
                writer.write(self._ingest(context, command, reader))
            case StatementUpdate():
                # The reader stays untouched: some clients send nothing, others wait for the answer first.
                with self._services.caller(context, command.transaction_id) as caller:
                    writer.write(encode_update_result(self._services.statements.update(command.query, caller)))
            case PreparedStatementUpdate():
                writer.write(self._prepared_update(context, command, reader))
            case PreparedStatementQuery():
                limit = self._services.settings.flight.max_parameter_bytes
                parameters = single_batch(_batches(reader), limit)
                handle = self._services.statements.bind(command.prepared_statement_handle, parameters)
                writer.write(encode_bind_result(handle))
            case _:
                raise unsupported(f"{type(command).__name__} in DoPut")

    def _plain_put(
        self, context: fl.ServerCallContext, parts: Sequence[str], put: PlainPut, reader: fl.MetadataRecordBatchReader
    ) -> bytes:
        request = IngestRequest(
            self._target(parts, self._services.defaults()),
            IngestMode(put.mode),
            put.idempotency_key,
            ProducerSequence(put.producer_id, put.sequence)
            if put.producer_id is not None and put.sequence is not None
            else None,
            put.explicit_commit,
        )
        with self._slot(), self._services.plain_caller(context) as caller:
            return _result_json(self._store(context, request, reader, caller))

    def _ingest(
        self, context: fl.ServerCallContext, command: StatementIngest, reader: fl.MetadataRecordBatchReader
    ) -> bytes:
        if command.temporary:
            raise LakehouseError(ErrorKind.UNIMPLEMENTED, "temporary_tables", "Temporary tables are not supported yet.")
        mode = _INGEST_MODES.get((command.if_not_exist, command.if_exists))
        if mode is None:
            raise LakehouseError(
                ErrorKind.INVALID_ARGUMENT,
                "malformed_command",
                "An ingest must create, append or replace: this pair of options does neither.",
            )
        with self._slot(), self._services.caller(context, command.transaction_id) as caller:
            parts = [
                command.catalog or caller.defaults.catalog,
                command.schema or caller.defaults.schema,
                command.table,
            ]
            key = command.options.get("idempotency_key") or current_call(context).header("idempotency-key")
            check_put(PlainPut(command.table, idempotency_key=key))
            request = IngestRequest(self._target(parts, caller.defaults), mode, key)
            return encode_update_result(self._store(context, request, reader, caller).rows)

    def _prepared_update(
        self, context: fl.ServerCallContext, command: PreparedStatementUpdate, reader: fl.MetadataRecordBatchReader
    ) -> bytes:
        handle, bound = self._services.statements.open(command.prepared_statement_handle)
        sent = single_batch(_batches(reader), self._services.settings.flight.max_update_parameter_bytes)
        with self._services.caller(context, handle.transaction_id) as caller:
            parameters = sent if sent is not None else bound
            return encode_update_result(self._services.statements.update(handle.sql, caller, parameters))

    def _store(
        self,
        context: fl.ServerCallContext,
        request: IngestRequest,
        reader: fl.MetadataRecordBatchReader,
        caller: Caller,
    ) -> IngestResult:
        schema = _stream_schema(reader)
        return self._services.ingestor.ingest(
            request,
            schema,
            _chunks(reader),
            transaction=caller.transaction,
            is_cancelled=context.is_cancelled,
        )

    def _target(self, parts: Sequence[str], defaults: Defaults) -> Target:
        target = resolve_target(parts, defaults, self._services.lakes)
        require_lake(self._services.lakes, target.lake)
        return target

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._slots.acquire(blocking=False):
            raise LakehouseError(
                ErrorKind.RESOURCE_EXHAUSTED,
                "too_many_uploads",
                "The server has its maximum of concurrent uploads; repeat later.",
            )
        try:
            yield
        finally:
            self._slots.release()


def path_parts(descriptor: fl.FlightDescriptor) -> list[str]:
    """Return the parts of a path descriptor. Raises LakehouseError ``invalid_name``."""
    try:
        return [part.decode() for part in descriptor.path]
    except UnicodeDecodeError:
        raise LakehouseError(ErrorKind.INVALID_ARGUMENT, "invalid_name", "The path is not UTF-8.") from None


def _put_by_headers(call: Call) -> PlainPut:
    mode, key = call.header("x-lakehouse-mode") or "create_append", call.header("idempotency-key")
    return check_put(PlainPut("", mode, key))


def _stream_schema(reader: fl.MetadataRecordBatchReader) -> pa.Schema:
    try:
        return reader.schema
    except (pa.ArrowException, OSError):
        raise _malformed_stream() from None


def _chunks(reader: fl.MetadataRecordBatchReader) -> Iterator[Chunk]:
    chunks = iter(reader)
    while True:
        try:
            chunk = next(chunks)
        except StopIteration:
            return
        except (pa.ArrowException, OSError):
            raise _malformed_stream() from None
        yield chunk.data, chunk.app_metadata.to_pybytes() if chunk.app_metadata is not None else None


def _batches(reader: fl.MetadataRecordBatchReader) -> list[pa.RecordBatch]:
    return [batch for batch, _ in _chunks(reader) if batch is not None]


def _malformed_stream() -> LakehouseError:
    return LakehouseError(
        ErrorKind.INVALID_ARGUMENT, "malformed_stream", "The stream of record batches is malformed or was cut."
    )


def _result_json(result: IngestResult) -> bytes:
    return json.dumps(
        {
            "dataset_id": result.dataset_id,
            "lake": result.target.lake,
            "schema": result.target.name.schema,
            "name": result.target.name.name,
            "rows": result.rows,
            "bytes": result.bytes,
            "objects": result.objects,
            "snapshot": result.snapshot,
            "version": result.version,
            "replayed": result.replayed,
        }
    ).encode()
