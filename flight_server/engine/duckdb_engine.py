"""The engine that is DuckDB."""

import os
from collections.abc import Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property

import duckdb
import pyarrow as pa

from catalog import DatasetName, ErrorKind, LakehouseError, dataset_not_found

from ..settings import EngineSettings  # noqa: TID252 the server's settings are in one file
from . import EngineInfo, Plan, Scope, Statement
from .analysis import Analysis, Analyst
from .binding import BoundDataset, all_datasets, resolve
from .dialect import describe_dialect
from .encoding import Encoding, encode, encode_explained
from .failures import translate
from .gate import Query
from .inference import parameter_schema
from .inserting import insert_sql
from .instance import Instance, InstanceLimits
from .lru import LruCache
from .parameters import Values, bind, examples
from .parser import Parser
from .pool import InstancePool, MemoryShares, Slots
from .pruning import attributed, scans, surviving_objects
from .stream import DuckDBStream, StreamLimits
from .watch import Watch

_PLANNING_SLOTS = 4
_LISTING_INSTANCES = 2


@dataclass(frozen=True, slots=True)
class _Request:
    """A query in a scope, with its names resolved."""

    analysis: Analysis
    query: Query
    scope: Scope
    parameters: pa.RecordBatch | None
    text: str | None
    resolved: dict[tuple[str, ...], BoundDataset]

    @property
    def datasets(self) -> list[BoundDataset]:
        """The datasets that the query reads, once each."""
        return list({dataset.sql_name: dataset for dataset in self.resolved.values()}.values())

    def cache_key(self) -> Hashable:
        """Return all that a plan depends on. Nulls count: a parameter that is null has no type for DuckDB."""
        columns = self.parameters.columns if self.parameters is not None else ()
        kinds = tuple((column.type, column.null_count == len(column)) for column in columns)
        versions = tuple(sorted((found.sql_name, found.entry.schema_fingerprint) for found in self.datasets))
        return self.analysis.head, self.analysis.body, self.text, kinds, self.scope.catalog, self.scope.schema, versions


@dataclass(frozen=True, slots=True)
class _Planned:
    encoding: Encoding
    names: tuple[str, ...]
    parameter_schema: pa.Schema


class DuckDBEngine:
    """Runs SQL over snapshots in a pool of locked DuckDB instances. Safe for use from several threads."""

    def __init__(self, settings: EngineSettings) -> None:
        cores = os.cpu_count() or 1
        statements = settings.max_concurrent_statements
        memory_bytes = settings.memory_bytes or _machine_memory() // 2
        limits = InstanceLimits(settings.threads or cores, memory_bytes // 4, settings.spill_bytes)
        self._settings = settings
        self._parser = Parser()
        self._arrow_types = self._parser.arrow_types()
        self._analyst = Analyst(
            self._parser, self._arrow_types, settings.max_sql_bytes, max(settings.plan_cache_entries, 1)
        )
        self._plans: LruCache[_Planned] = LruCache(settings.plan_cache_entries)
        self._memory = MemoryShares(memory_bytes, statements)
        self._running = Slots(statements, settings.max_queued_statements, settings.queue_seconds)
        self._planning = Slots(_PLANNING_SLOTS, settings.max_queued_statements, settings.queue_seconds)
        self._pool = InstancePool(limits, statements, settings.spill_directory)
        self._listing_pool = InstancePool(limits, _LISTING_INSTANCES, settings.spill_directory)
        self._watch = Watch()
        self._closed = False

    def parse(self, sql: str) -> Statement:
        """Take one statement apart; whatever is not known to be harmless is refused."""
        self._check_open()
        return self._analyst.analyse(sql).statement

    def plan(self, sql: str, parameters: pa.RecordBatch | None, scope: Scope, *, text: str | None = None) -> Plan:
        """Describe a query without running it."""
        self._check_open()
        request = self._request(self._analyst.analyse_query(sql), parameters, scope, text)
        planned = self._planned(request)
        return Plan(planned.encoding.schema, _bound_schema(planned.parameter_schema, parameters))

    def execute(
        self,
        sql: str,
        parameters: pa.RecordBatch | None,
        scope: Scope,
        *,
        text: str | None = None,
        timeout_seconds: float | None = None,
    ) -> DuckDBStream:
        """Run a query."""
        self._check_open()
        request = self._request(self._analyst.analyse_query(sql), parameters, scope, text)
        rows = _rows(request)
        run_seconds = min(timeout_seconds or float("inf"), self._settings.statement_timeout_seconds)
        limits = StreamLimits(
            self._settings.message_bytes,
            max(self._settings.max_row_message_bytes, self._settings.message_bytes),
            run_seconds,
            self._settings.stall_seconds,
            self._settings.crowded_stall_seconds,
            self._running.is_crowded,
        )
        lease = ExitStack()
        try:
            self._running.acquire()
            lease.callback(self._running.release)
            memory_bytes = lease.enter_context(self._memory.share())
            instance = self._take(request)
        except BaseException:
            lease.close()
            raise

        def on_close(healthy: bool) -> None:
            self._put(request, instance, healthy=healthy)
            lease.close()

        try:
            with _translated(instance):
                instance.limit_memory(memory_bytes)
                instance.prepare(request.scope, request.datasets, self._listed(request))
                planned = self._planned_in(instance, request)
                if len(rows) == 1:
                    self._prune(instance, request, rows[0])
            return DuckDBStream(instance, planned.encoding, rows, limits, self._watch, on_close)
        except BaseException as error:
            on_close(isinstance(error, LakehouseError) and error.kind is not ErrorKind.INTERNAL)
            raise

    def insert_source(
        self, statement: Statement, target: pa.Schema, parameters: pa.RecordBatch | None, scope: Scope
    ) -> str:
        """Return the query whose rows, in the target's columns and types, an INSERT adds."""
        request = self._request(self._analyst.analyse(statement.sql), parameters, scope, None)
        return insert_sql(statement, target, self._planned(request).names)

    def table_schema(self, statement: Statement, parameters: pa.RecordBatch | None, scope: Scope) -> pa.Schema:
        """Return the Arrow schema of the table that a CREATE TABLE [AS] makes."""
        if statement.schema is not None:
            return statement.schema
        request = self._request(self._analyst.analyse(statement.sql), parameters, scope, None)
        return self._planned(request).encoding.schema

    def info(self) -> EngineInfo:
        """Describe the dialect."""
        return self._info

    def close(self) -> None:
        """Cancel what runs and free everything. Idempotent."""
        self._closed = True
        for stream in self._watch.running():
            if isinstance(stream, DuckDBStream):
                stream.cancel()
        self._watch.close()
        self._pool.close()
        self._listing_pool.close()
        self._parser.close()

    def _check_open(self) -> None:
        if self._closed:
            raise LakehouseError(ErrorKind.UNAVAILABLE, "server_stopping", "The server is shutting down.")

    @cached_property
    def _info(self) -> EngineInfo:
        return describe_dialect(self._parser)

    def _request(
        self, analysis: Analysis, parameters: pa.RecordBatch | None, scope: Scope, text: str | None
    ) -> _Request:
        """Resolve the names of a query."""
        query = analysis.query
        if query is None:
            raise LakehouseError(ErrorKind.INVALID_ARGUMENT, "not_a_query", "The statement has no query in it.")
        if scope.catalog not in set(scope.lakes):
            raise LakehouseError(ErrorKind.NOT_FOUND, "lake_not_found", f'There is no lake "{scope.catalog}".')
        resolved = {}
        for parts in query.tables:
            found = resolve(parts, scope)
            if found is not None:
                resolved[parts] = found
            elif len(parts) > 1 or parts[0].lower() not in query.ctes:
                raise _not_found(parts, scope)
        return _Request(analysis, query, scope, parameters, text, resolved)

    def _planned(self, request: _Request) -> _Planned:
        """Plan a query, in an instance if it is not remembered."""
        planned = self._plans.get(request.cache_key())
        if planned is not None:
            return planned
        self._planning.acquire()
        try:
            instance = self._take(request)
            healthy = False
            try:
                with _translated(instance):
                    instance.prepare(request.scope, request.datasets, self._listed(request))
                    planned = self._planned_in(instance, request)
                healthy = True
                return planned
            except LakehouseError as error:
                healthy = error.kind is not ErrorKind.INTERNAL
                raise
            finally:
                self._put(request, instance, healthy=healthy)
        finally:
            self._planning.release()

    def _planned_in(self, instance: Instance, request: _Request) -> _Planned:
        """Plan a query in an instance that is prepared for it, if it is not remembered."""
        key = request.cache_key()
        planned = self._plans.get(key)
        if planned is None:
            planned = self._plan(instance, request)
            self._plans.put(key, planned)
        return planned

    def _plan(self, instance: Instance, request: _Request) -> _Planned:
        query, body = request.query, request.analysis.body
        values = examples(query.parameters, request.parameters)
        relation = instance.connection.sql(body, params=values) if values else instance.connection.sql(body)
        names, types = tuple(relation.columns), tuple(relation.types)
        if request.analysis.head:
            encoding = encode_explained(f"{request.analysis.head}\n{body}", request.text)
        else:
            encoding = encode(body, names, types, self._arrow_types, request.text)
        wanted = parameter_schema(query, request.datasets, self._parser, self._arrow_types)
        return _Planned(encoding, names, wanted)

    def _prune(self, instance: Instance, request: _Request, values: Values | None) -> None:
        """Leave out the data objects that the query cannot need."""
        fewest = self._settings.prune_min_objects
        large = {found.sql_name for found in request.datasets if found.manifest.objects.num_rows >= fewest}
        if not large or not request.query.filters or request.analysis.head:
            return
        sql = f"EXPLAIN (FORMAT JSON)\n{request.analysis.body}"
        relation = instance.connection.sql(sql, params=values) if values else instance.connection.sql(sql)
        ((_, explained),) = relation.fetchall()
        for dataset, scan in attributed(scans(explained), request.query, request.resolved):
            if dataset.sql_name in large:
                instance.objects(dataset).select(surviving_objects(dataset, scan, self._parser))

    def _listed(self, request: _Request) -> Sequence[BoundDataset] | None:
        if not request.query.lists:
            return None
        return all_datasets(request.scope, self._settings.max_listed_datasets)

    def _take(self, request: _Request) -> Instance:
        return (self._listing_pool if request.query.lists else self._pool).take()

    def _put(self, request: _Request, instance: Instance, *, healthy: bool) -> None:
        (self._listing_pool if request.query.lists else self._pool).put(instance, healthy=healthy)


@contextmanager
def _translated(instance: Instance) -> Iterator[None]:
    """Turn what DuckDB raises into LakehouseError; the store's own words come first."""
    try:
        yield
    except duckdb.Error as error:
        raise (instance.filesystem.failure or translate(error)) from None


def _rows(request: _Request) -> list[Values | None]:
    """Return the parameters of each execution."""
    names, parameters = request.query.parameters, request.parameters
    if not names or parameters is None:
        return [bind(names, parameters, 0)]
    return [bind(names, parameters, row) for row in range(parameters.num_rows)]


def _bound_schema(inferred: pa.Schema, parameters: pa.RecordBatch | None) -> pa.Schema:
    if parameters is None or parameters.num_columns != len(inferred):
        return inferred
    return pa.schema(list(zip(inferred.names, parameters.schema.types, strict=True)))


def _not_found(parts: tuple[str, ...], scope: Scope) -> LakehouseError:
    """Say that there is no such dataset, and which one may be meant."""
    *rest, name = (part.lower() for part in parts)
    lake = rest[0] if rest and rest[0] in set(scope.lakes) else scope.catalog
    schema = scope.schema if not rest else "main" if rest == [lake] else rest[-1]
    wanted = DatasetName(schema, name)
    known = (entry.name for entry in scope.lakes[lake].entries())
    return dataset_not_found(wanted, known, ".".join(parts), lake if rest and rest[0] == lake else None)


def _machine_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
