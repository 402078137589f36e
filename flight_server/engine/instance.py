"""One locked DuckDB, and what is bound in it.

Each running statement has an instance of its own: an in-memory DuckDB without extensions, network, disk (but its spill
folder), secrets or settings to change. Only statements that read run in it, so what it holds between two statements is
ours: the views of datasets, kept while the same version is asked for.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from catalog import quote_identifier

from . import Scope
from .binding import BoundDataset, table_sql, view_sql
from .filesystem import PROTOCOL, CapabilityFileSystem, ObjectSet

_MAX_BOUND = 512
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "python_enable_replacements": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_unsigned_extensions": False,
    "allow_persistent_secrets": False,
    "allow_unredacted_secrets": False,
}


@dataclass(frozen=True, slots=True)
class InstanceLimits:
    """What one instance may use. ``memory_bytes`` is the limit until :meth:`Instance.limit_memory` sets another."""

    threads: int
    memory_bytes: int
    spill_bytes: int


@dataclass(slots=True)
class _Binding:
    """A view (with its objects) or an empty table (None) of one dataset's version in this instance."""

    manifest: str
    objects: ObjectSet | None


class Instance:
    """A DuckDB that can do nothing but read what is bound for one statement at a time.

    Args:
        limits: what it may use.
        spill_folder: folder of its own, made by DuckDB when it first spills.
    """

    def __init__(self, limits: InstanceLimits, spill_folder: Path) -> None:
        self.filesystem = CapabilityFileSystem()
        self.connection = duckdb.connect(":memory:", config={**_CONFIG, "threads": limits.threads})
        self._limits = limits
        self._memory_bytes = limits.memory_bytes
        self._attached: set[str] = set()
        self._schemas: set[tuple[str, str]] = set()
        self._current: tuple[str, str] | None = None
        self._bindings: OrderedDict[tuple[str, str, str], _Binding] = OrderedDict()
        self._next_set = 0
        self._lock_down(spill_folder)

    def prepare(self, scope: Scope, views: Sequence[BoundDataset], tables: Sequence[BoundDataset] | None) -> None:
        """Make a statement's names mean its datasets, and nothing else readable.

        Args:
            scope: what the statement may see.
            views: the datasets whose rows it reads.
            tables: the datasets that it may list, or None if it does not list.
        """
        self._use(scope.catalog, scope.schema)
        if tables is not None:
            self._list(scope, tables, {_key(dataset) for dataset in views})
        sets = [self._bind_view(dataset, scope) for dataset in views]
        self.filesystem.grant(sets)
        self._evict(len(views) + len(tables or ()))

    def objects(self, dataset: BoundDataset) -> ObjectSet:
        """Return the object set of a dataset that :meth:`prepare` bound as a view."""
        objects = self._bindings[_key(dataset)].objects
        assert objects is not None
        return objects

    def limit_memory(self, memory_bytes: int) -> None:
        """Set what the next statement may use."""
        if memory_bytes != self._memory_bytes:
            self.connection.execute(f"SET memory_limit = '{memory_bytes}B'")
            self._memory_bytes = memory_bytes

    def release(self) -> None:
        """Take back everything that the finished statement could read."""
        self.filesystem.grant(())

    def interrupt(self) -> None:
        """Stop what runs. From any thread."""
        with contextlib.suppress(duckdb.Error):
            self.connection.interrupt()

    def is_usable(self) -> bool:
        """Try the instance after an interruption."""
        try:
            return self.connection.sql("SELECT 1").fetchall() == [(1,)]
        except duckdb.Error:
            return False

    def close(self) -> None:
        """Free everything. Idempotent."""
        with contextlib.suppress(duckdb.Error):
            self.connection.close()

    def _lock_down(self, spill_folder: Path) -> None:
        self.connection.register_filesystem(self.filesystem)
        escaped = str(spill_folder).replace("'", "''")
        for setting in (
            "TimeZone = 'UTC'",  # loads ICU, which cannot be loaded later
            "enable_progress_bar = false",
            "parquet_metadata_cache = true",
            f"memory_limit = '{self._memory_bytes}B'",
            f"temp_directory = '{escaped}'",
            f"max_temp_directory_size = '{self._limits.spill_bytes}B'",
            f"allowed_directories = ['{PROTOCOL}://']",
            "enable_external_access = false",
            "allowed_configs = ['memory_limit']",
            "lock_configuration = true",
        ):
            self.connection.execute(f"SET {setting}")

    def _use(self, lake: str, schema: str) -> None:
        if self._current == (lake, schema):
            return
        self._ensure_schema(lake, schema)
        self.connection.execute(f"USE {quote_identifier(lake)}.{quote_identifier(schema)}")
        if self._current is None:
            self.connection.execute("DETACH memory")
        self._current = (lake, schema)

    def _ensure_schema(self, lake: str, schema: str) -> None:
        if lake not in self._attached:
            self.connection.execute(f"ATTACH ':memory:' AS {quote_identifier(lake)}")
            self._attached.add(lake)
        if (lake, schema) not in self._schemas:
            self.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote_identifier(lake)}.{quote_identifier(schema)}")
            self._schemas.add((lake, schema))

    def _bind_view(self, dataset: BoundDataset, scope: Scope) -> ObjectSet:
        key = _key(dataset)
        binding = self._bindings.get(key)
        if binding is not None and binding.objects is not None and binding.manifest == dataset.entry.manifest:
            self._bindings.move_to_end(key)
            binding.objects.select(None)
            return binding.objects
        self._drop([key])
        self._ensure_schema(dataset.lake, dataset.name.schema)
        self._next_set += 1
        objects = ObjectSet(self._next_set, dataset.manifest, scope.readers[dataset.lake])
        self.filesystem.grant([objects])
        self.connection.execute(view_sql(dataset, objects))
        self._bindings[key] = _Binding(dataset.entry.manifest, objects)
        return objects

    def _list(self, scope: Scope, tables: Sequence[BoundDataset], as_views: set[tuple[str, str, str]]) -> None:
        """Show exactly the datasets and schemas of a scope in the information schema."""
        wanted = {_key(dataset): dataset for dataset in tables}
        stale = [
            key
            for key, binding in self._bindings.items()
            if key not in as_views
            and (key not in wanted or binding.objects or binding.manifest != wanted[key].entry.manifest)
        ]
        self._drop(stale)
        schemas = {(lake, schema) for lake in scope.lakes for schema in (*scope.lakes[lake].schemas(), "main")}
        for lake, schema in sorted(self._schemas - schemas - {self._current or ("", "")}):
            self.connection.execute(f"DROP SCHEMA {quote_identifier(lake)}.{quote_identifier(schema)} CASCADE")
            self._schemas.discard((lake, schema))
        for lake, schema in sorted(schemas):
            self._ensure_schema(lake, schema)
        missing = [dataset for key, dataset in wanted.items() if key not in self._bindings and key not in as_views]
        if missing:
            self.connection.execute(";".join(map(table_sql, missing)))
            self._bindings.update((_key(dataset), _Binding(dataset.entry.manifest, None)) for dataset in missing)

    def _evict(self, in_use: int) -> None:
        excess = len(self._bindings) - max(_MAX_BOUND, in_use)
        if excess > 0:
            self._drop(list(self._bindings)[:excess])

    def _drop(self, keys: Iterable[tuple[str, str, str]]) -> None:
        statements = []
        for key in keys:
            binding = self._bindings.pop(key, None)
            if binding is not None:
                kind = "VIEW" if binding.objects else "TABLE"
                statements.append(f"DROP {kind} IF EXISTS {'.'.join(map(quote_identifier, key))}")
        if statements:
            self.connection.execute(";".join(statements))


def _key(dataset: BoundDataset) -> tuple[str, str, str]:
    return (dataset.lake, dataset.name.schema, dataset.name.name)
