"""The Python client: SQL and rows over Arrow Flight, on one channel that any number of threads may share."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Self

import pyarrow as pa
import pyarrow.flight as fl

from .address import DEFAULT_URI, flight_uri
from .errors import translated
from .ingest import IngestResult, Progress, as_reader, upload
from .results import QueryResult, value_bytes

IngestMode = Literal["create", "append", "overwrite", "create_append"]
TextFormat = Literal["json", "ndjson"]
JsonScalar = str | int | float | bool | None
JsonObject = dict[str, Any]


def connect(
    uri: str = DEFAULT_URI,
    *,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_seconds: float | None = None,
    tls_root_certificates: bytes | None = None,
    verify_server: bool = True,
) -> "Client":
    """Return a client of the server at this address. Nothing is sent before the first call.

    Args:
        uri: ``grpc://HOST:PORT`` or, with TLS, ``grpc+tls://HOST:PORT``; what ADBC takes is understood, too.
        token: bearer token that goes with every call.
        headers: more headers that go with every call.
        timeout_seconds: longest duration of any one call, reading its answer included; None waits for ever.
        tls_root_certificates: certificates to trust instead of the system's, in PEM form.
        verify_server: False accepts any certificate.
    """
    uri = flight_uri(uri)
    tls: dict[str, Any] = {}
    if uri.startswith("grpc+tls:"):
        tls = {"tls_root_certs": tls_root_certificates, "disable_server_verification": not verify_server}
    wire_headers = {name.lower(): value for name, value in (headers or {}).items()}
    if token is not None:
        wire_headers["authorization"] = f"Bearer {token}"
    with translated():
        channel = fl.FlightClient(uri, **tls)
    return Client(channel, uri, wire_headers, timeout_seconds)


class Client:
    """A connection to a lakehouse server; safe to share between threads. Get one from `connect`.

    Every method raises LakehouseClientError when the server refuses or cannot be reached. A dataset's name is ``name``,
    ``schema.name`` or ``lake.schema.name``.
    """

    def __init__(
        self, channel: fl.FlightClient, uri: str, headers: Mapping[str, str], timeout_seconds: float | None
    ) -> None:
        self._channel = channel
        self._uri = uri
        self._options = fl.FlightCallOptions(
            timeout=timeout_seconds, headers=[(name.encode(), value.encode()) for name, value in headers.items()]
        )

    def query(self, sql: str, params: Sequence[JsonScalar] | None = None, *, read_only: bool = False) -> QueryResult:
        """Run one statement and return its rows as a stream.

        Args:
            sql: one statement.
            params: values of the statement's ``?`` or ``$1`` placeholders, in order.
            read_only: True lets the server refuse statements that change anything.
        """
        return self._run(_statement(sql, params, read_only=read_only))

    def query_text(
        self, sql: str, params: Sequence[JsonScalar] | None = None, *, text_format: TextFormat, read_only: bool = False
    ) -> Iterator[pa.Buffer]:
        """Run one statement and yield its rows as text that the server encoded, in buffers of many rows.

        With ``ndjson`` each row is an object and a line end; with ``json`` each row is a comma, a line end and an object.
        """
        result = self._run(_statement(sql, params, read_only=read_only) | {"format": text_format})
        return _text(result)

    def ingest(
        self,
        name: str,
        data: Any,
        *,
        mode: IngestMode = "create_append",
        idempotency_key: str | None = None,
        progress: Progress | None = None,
    ) -> IngestResult:
        """Add rows to a dataset in one atomic commit.

        Args:
            name: of the dataset.
            data: a pyarrow reader, table or batch, or anything with ``__arrow_c_stream__`` (polars, pandas, DuckDB, …).
                If it raises while it is read, nothing is committed and the exception comes through.
            mode: ``create`` refuses an existing dataset, ``append`` a missing one; ``overwrite`` replaces all rows.
            idempotency_key: repeating an upload with the same key adds its rows once and returns the first answer.
            progress: called with the rows and bytes sent so far.
        """
        command: JsonObject = {"dataset": name, "mode": mode}
        if idempotency_key is not None:
            command["idempotency_key"] = idempotency_key
        return upload(self._channel, self._uri, self._options, command, as_reader(data), progress)

    def schema(self, name: str) -> pa.Schema:
        """Return the Arrow schema of a dataset."""
        with translated(self._uri):
            return self._channel.get_schema(fl.FlightDescriptor.for_path(*name.split(".")), self._options).schema

    def datasets(self, *, lake: str | None = None, schema: str | None = None) -> list[JsonObject]:
        """List the datasets of a lake (without a name: the server's default one), or of one of its schemas."""
        found: list[JsonObject] = self._act("lakehouse.datasets", lake=lake, schema=schema)["datasets"]
        return found

    def dataset(self, name: str) -> JsonObject:
        """Return the manifest of a dataset: its schema, rows, bytes, version and data objects."""
        return self._act("lakehouse.dataset", dataset=name)

    def register(self, name: str, schema: pa.Schema) -> JsonObject:
        """Create an empty dataset, or find it there with the same schema; return its manifest.

        ``created`` in the answer tells which. Another schema under that name is a conflict.
        """
        encoded = base64.b64encode(schema.serialize().to_pybytes()).decode()
        return self._act("lakehouse.register", dataset=name, schema=encoded)

    def drop(self, name: str, *, if_exists: bool = False) -> JsonObject:
        """Remove a dataset."""
        return self._act("lakehouse.drop", dataset=name, if_exists=if_exists)

    def history(self, name: str) -> JsonObject:
        """Return the commits of a dataset."""
        return self._act("lakehouse.history", dataset=name)

    def health(self) -> JsonObject:
        """Return whether the server reaches its lakes: ``{"status": …, "lakes": {name: {"status", "reason"?}}}``."""
        return self._act("lakehouse.health")

    def info(self) -> JsonObject:
        """Return the server's version and what it can do."""
        return self._act("lakehouse.info")

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, command: JsonObject) -> QueryResult:
        descriptor = fl.FlightDescriptor.for_command(json.dumps(command))
        with translated(self._uri):
            information = self._channel.get_flight_info(descriptor, self._options)
            (endpoint,) = information.endpoints
            return QueryResult(self._channel.do_get(endpoint.ticket, self._options))

    def _act(self, action: str, **arguments: Any) -> JsonObject:
        body = json.dumps({name: value for name, value in arguments.items() if value is not None}).encode()
        with translated(self._uri):
            (result,) = self._channel.do_action(fl.Action(action, body), self._options)
        answer: JsonObject = json.loads(result.body.to_pybytes())
        return answer


def _statement(sql: str, params: Sequence[JsonScalar] | None, *, read_only: bool) -> JsonObject:
    statement: JsonObject = {"sql": sql}
    if params:
        statement["params"] = list(params)
    if read_only:
        statement["read_only"] = True
    return statement


def _text(result: QueryResult) -> Iterator[pa.Buffer]:
    with result:
        for batch in result:
            yield value_bytes(batch.column(0))
