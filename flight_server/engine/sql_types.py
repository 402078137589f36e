"""Arrow's types in DuckDB's words, and the other way round."""

from functools import lru_cache
from threading import Lock

import duckdb
import pyarrow as pa
import pyarrow.types as pat

from catalog import ErrorKind, LakehouseError, quote_identifier

_SIMPLE: dict[pa.DataType, str] = {
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.uint8(): "UTINYINT",
    pa.uint16(): "USMALLINT",
    pa.uint32(): "UINTEGER",
    pa.uint64(): "UBIGINT",
    pa.float16(): "FLOAT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.large_string(): "VARCHAR",
    pa.string_view(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.large_binary(): "BLOB",
    pa.binary_view(): "BLOB",
    pa.date32(): "DATE",
    pa.date64(): "DATE",
    pa.time32("s"): "TIME",
    pa.time32("ms"): "TIME",
    pa.time64("us"): "TIME",
    pa.time64("ns"): "TIME_NS",
    pa.timestamp("s"): "TIMESTAMP_S",
    pa.timestamp("ms"): "TIMESTAMP_MS",
    pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("ns"): "TIMESTAMP_NS",
    pa.month_day_nano_interval(): "INTERVAL",
    pa.null(): '"NULL"',
}
_MAX_PRECISION = 38


@lru_cache(maxsize=4096)
def sql_type(data_type: pa.DataType) -> str:
    """Return DuckDB's name of an Arrow type.

    Raises:
        LakehouseError: UNIMPLEMENTED ``unsupported_type``.
    """
    simple = _SIMPLE.get(data_type)
    if simple is not None:
        return simple
    if pat.is_timestamp(data_type):
        return "TIMESTAMPTZ_NS" if data_type.unit == "ns" else "TIMESTAMPTZ"
    if pat.is_duration(data_type):
        return "INTERVAL"
    if pat.is_decimal(data_type) and data_type.precision <= _MAX_PRECISION and data_type.scale >= 0:
        return f"DECIMAL({data_type.precision},{data_type.scale})"
    if pat.is_fixed_size_binary(data_type):
        return "BLOB"
    return _nested_type(data_type)


def _nested_type(data_type: pa.DataType) -> str:
    if pat.is_dictionary(data_type) or pat.is_run_end_encoded(data_type):
        return sql_type(data_type.value_type)
    if pat.is_fixed_size_list(data_type):
        return f"{sql_type(data_type.value_type)}[{data_type.list_size}]"
    if pat.is_list(data_type) or pat.is_large_list(data_type) or pat.is_list_view(data_type):
        return f"{sql_type(data_type.value_type)}[]"
    if pat.is_map(data_type):
        return f"MAP({sql_type(data_type.key_type)}, {sql_type(data_type.item_type)})"
    if pat.is_struct(data_type) and data_type.num_fields:
        fields = ", ".join(f"{quote_identifier(field.name)} {sql_type(field.type)}" for field in data_type.fields)
        return f"STRUCT({fields})"
    if isinstance(data_type, pa.BaseExtensionType):
        return sql_type(data_type.storage_type)
    raise LakehouseError(
        ErrorKind.UNIMPLEMENTED, "unsupported_type", f"The type {data_type} has no counterpart in SQL."
    )


class ArrowTypes:
    """Knows the Arrow type that DuckDB's streams have for a type of DuckDB, by asking DuckDB once per type."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, capacity: int = 4096) -> None:
        self._connection = connection
        self._lock = Lock()
        self._capacity = capacity
        self._known: dict[str, pa.Field] = {}

    def fields(self, types: list[str]) -> list[pa.Field]:
        """Return a nullable Arrow field (its name means nothing) per type text."""
        with self._lock:
            unknown = [text for text in dict.fromkeys(types) if text not in self._known]
            if unknown:
                if len(self._known) > self._capacity:
                    self._known.clear()
                    unknown = list(dict.fromkeys(types))
                columns = ", ".join(f"CAST(NULL AS {text}) AS c{number}" for number, text in enumerate(unknown))
                reader = self._connection.sql(f"SELECT {columns}").to_arrow_reader(1)
                self._known.update(zip(unknown, reader.schema, strict=True))
                reader.close()
            return [self._known[text] for text in types]
