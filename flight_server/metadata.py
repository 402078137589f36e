"""The rows of Flight SQL's metadata commands, from one snapshot of each lake.

A dataset is a row of the root's Arrow table until the end: filters run over its columns, and only table schemas, which
lie in the datasets' manifests, are made one by one. They are kept by manifest, which never changes.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from catalog import DatasetName, Snapshot

from .commands import (
    GetCatalogs,
    GetDbSchemas,
    GetSqlInfo,
    GetTables,
    GetTableTypes,
    GetXdbcTypeInfo,
    MetadataCommand,
    unsupported,
)
from .schemas import CATALOGS, DB_SCHEMAS, TABLE_TYPES, TABLES, TABLES_WITH_SCHEMA, metadata_schema
from .sql_info import Values, sql_info_table
from .sql_types import precision_and_scale, sql_type_name, without_metadata

TABLE_TYPE = "TABLE"

_KEY = "ARROW:FLIGHT:SQL:"
_CONCURRENT_READS = 16
_LIKE_UNIT = re.compile(r"\\.|[^%]", re.DOTALL)
_ANY_RUN = re.compile(r"(?<!\\)%{2,}")


class Metadata:
    """Answers metadata commands. Safe for use from several threads.

    Args:
        sql_info: values for GetSqlInfo.
        max_cached_schemas: how many table schemas are kept.
    """

    def __init__(self, sql_info: Values, *, max_cached_schemas: int = 20_000) -> None:
        self._sql_info = sql_info
        self._schemas = _SchemaCache(max_cached_schemas)

    def rows(self, command: MetadataCommand, lakes: Mapping[str, Snapshot]) -> pa.Table:
        """Return the answer to a command; its schema is ``metadata_schema(command)``.

        Args:
            command: what is asked for.
            lakes: the lakes that the caller may see. Only those that the answer needs are looked up.

        Raises:
            LakehouseError: UNIMPLEMENTED ``unsupported_command`` for GetXdbcTypeInfo; what reading a manifest raises.
        """
        match command:
            case GetCatalogs():
                return pa.table([pa.array(sorted(lakes), pa.string())], schema=CATALOGS)
            case GetDbSchemas():
                return _db_schemas(command, lakes)
            case GetTables():
                return self._tables(command, lakes)
            case GetTableTypes():
                return pa.table([pa.array([TABLE_TYPE])], schema=TABLE_TYPES)
            case GetSqlInfo():
                return sql_info_table(self._sql_info, command.info)
            case GetXdbcTypeInfo():
                raise unsupported("CommandGetXdbcTypeInfo")
        return metadata_schema(command).empty_table()  # datasets have no keys

    def _tables(self, command: GetTables, lakes: Mapping[str, Snapshot]) -> pa.Table:
        parts = [metadata_schema(command).empty_table()]
        if not command.table_types or TABLE_TYPE in (kind.upper() for kind in command.table_types):
            parts += [self._lake_tables(command, name, lakes[name]) for name in _named(command.catalog, lakes)]
        return _one_batch(parts)

    def _lake_tables(self, command: GetTables, lake: str, snapshot: Snapshot) -> pa.Table:
        datasets = snapshot.datasets.select(["schema", "name", "manifest"])
        for column, pattern in (
            ("schema", command.db_schema_filter_pattern),
            ("name", command.table_name_filter_pattern),
        ):
            if pattern is not None:
                datasets = datasets.filter(like(datasets[column], pattern))
        datasets = datasets.sort_by([("schema", "ascending"), ("name", "ascending")])
        count = len(datasets)
        columns = [pa.repeat(lake, count), datasets["schema"], datasets["name"], pa.repeat(TABLE_TYPE, count)]
        if not command.include_schema:
            return pa.table(columns, schema=TABLES)
        columns.append(pa.array(self._table_schemas(lake, snapshot, datasets), pa.binary()))
        return pa.table(columns, schema=TABLES_WITH_SCHEMA)

    def _table_schemas(self, lake: str, snapshot: Snapshot, datasets: pa.Table) -> list[bytes]:
        def read(row: tuple[str, str, str]) -> bytes:
            schema, name, key = row
            manifest = snapshot.manifest(snapshot.entry(DatasetName(schema, name)))
            data: bytes = table_schema(lake, manifest.name, manifest.schema).serialize().to_pybytes()
            self._schemas.put(f"{lake}/{key}", data)
            return data

        rows = list(zip(*(datasets[name].to_pylist() for name in ("schema", "name", "manifest")), strict=True))
        found = [self._schemas.get(f"{lake}/{key}") for _, _, key in rows]
        missing = [row for row, data in zip(rows, found, strict=True) if data is None]
        if not missing:
            return [data for data in found if data is not None]
        if len(missing) == 1:
            made = iter([read(missing[0])])
        else:
            with ThreadPoolExecutor(_CONCURRENT_READS, "table-schemas") as readers:
                made = iter(list(readers.map(read, missing)))
        return [next(made) if data is None else data for data in found]


def table_schema(lake: str, name: DatasetName, schema: pa.Schema) -> pa.Schema:
    """Return a dataset's schema as GetTables gives it: what drivers want to know of a column is in its metadata."""
    return pa.schema(
        [
            pa.field(field.name, without_metadata(field.type), field.nullable, column_metadata(lake, name, field.type))
            for field in schema
        ]
    )


def column_metadata(lake: str, name: DatasetName, kind: pa.DataType) -> dict[str, str]:
    """Return the metadata of a dataset's column, under the keys of Flight SQL."""
    values = {
        "CATALOG_NAME": lake,
        # The protocol's text says the first, all its libraries read the second.
        "DB_SCHEMA_NAME": name.schema,
        "SCHEMA_NAME": name.schema,
        "TABLE_NAME": name.name,
        "TYPE_NAME": sql_type_name(kind),
        "IS_AUTO_INCREMENT": "0",
        "IS_CASE_SENSITIVE": "1" if pa.types.is_string(kind) else "0",
        "IS_READ_ONLY": "0",
        "IS_SEARCHABLE": "1",
    }
    digits = precision_and_scale(kind)
    if digits is not None:
        values["PRECISION"], values["SCALE"] = (str(number) for number in digits)
    return {_KEY + key: value for key, value in values.items()}


def like(names: pa.ChunkedArray | pa.Array, pattern: str) -> pa.ChunkedArray | pa.Array:
    r"""Say which names match a LIKE pattern: % and _ are wild, \ escapes them, case does not matter.

    Some drivers send a whole SQL text as the pattern, so any text is fine.
    """
    longest = pc.max(pc.utf8_length(names)).as_py() or 0
    shortest_match = len(_LIKE_UNIT.findall(pattern))
    if shortest_match > longest:
        return pc.less(pc.utf8_length(names), 0)
    return pc.match_like(names, _ANY_RUN.sub("%", pattern), ignore_case=True)


def _db_schemas(command: GetDbSchemas, lakes: Mapping[str, Snapshot]) -> pa.Table:
    parts = [DB_SCHEMAS.empty_table()]
    for lake in _named(command.catalog, lakes):
        names = pa.array(lakes[lake].schemas(), pa.string())
        if command.db_schema_filter_pattern is not None:
            names = names.filter(like(names, command.db_schema_filter_pattern))
        parts.append(pa.table([pa.repeat(lake, len(names)), names], schema=DB_SCHEMAS))
    return _one_batch(parts)


def _one_batch(parts: list[pa.Table]) -> pa.Table:
    # ADBC looks for a table's schema in the first batch only, and an empty one would be that.
    return pa.concat_tables(parts).combine_chunks()


def _named(catalog: str | None, lakes: Iterable[str]) -> list[str]:
    return [lake for lake in sorted(lakes) if catalog is None or lake == catalog.lower()]


class _SchemaCache:
    """Serialized table schemas by manifest; the ones that were used last stay."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._schemas: OrderedDict[str, bytes] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        with self._lock:
            data = self._schemas.get(key)
            if data is not None:
                self._schemas.move_to_end(key)
            return data

    def put(self, key: str, data: bytes) -> None:
        with self._lock:
            self._schemas[key] = data
            if len(self._schemas) > self._limit:
                self._schemas.popitem(last=False)
