"""Parameters: from a batch of Arrow values to typed values of DuckDB, without a detour that loses anything."""

from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from catalog import ErrorKind, LakehouseError

from .sql_types import sql_type

Values = list[Any] | dict[str, Any]
"""What DuckDB takes for one execution: a list for positional parameters, a dict for named ones."""

_MICROSECONDS = {"s": 1_000_000, "ms": 1000, "us": 1}


def bind(names: Sequence[str], parameters: pa.RecordBatch | None, row: int) -> Values | None:
    """Return the values of one row of parameters, or None if the statement has none.

    Args:
        names: the statement's parameters in order.
        parameters: one column per parameter.
        row: which row.

    Raises:
        LakehouseError: INVALID_ARGUMENT ``parameter_count``.
    """
    count = 0 if parameters is None else parameters.num_columns
    if count != len(names):
        raise LakehouseError(
            ErrorKind.INVALID_ARGUMENT,
            "parameter_count",
            f"The statement has {len(names)} parameter{'' if len(names) == 1 else 's'}, and {count} "
            f"{'was' if count == 1 else 'were'} given.",
        )
    if parameters is None or not names:
        return None
    return _arrange(names, [_value(column.slice(row, 1)) for column in parameters.columns])


def examples(names: Sequence[str], parameters: pa.RecordBatch | None) -> Values | None:
    """Return values that have the parameters' types, to plan with: each column's first value that is not null."""
    if not names:
        return None
    if parameters is None or parameters.num_columns != len(names):
        return _arrange(names, [None] * len(names))
    return _arrange(names, [_value(column.drop_null().slice(0, 1)) for column in parameters.columns])


def _arrange(names: Sequence[str], values: list[Any]) -> Values:
    if all(name.isdigit() for name in names):
        return values
    return dict(zip(names, values, strict=True))


def _value(array: pa.Array) -> Any:
    """Return the single value of an array; None if it is null, or if the array is empty."""
    array = _decoded(array)
    if len(array) == 0 or array.null_count:
        return None
    return duckdb.Value(_content(array), duckdb.sqltype(sql_type(array.type)))


def _decoded(array: pa.Array) -> pa.Array:
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    if pat.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pat.is_time32(array.type):
        return array.cast(pa.time64("us"))
    return array


def _content(array: pa.Array) -> Any:
    """Return what DuckDB makes the value of: text where Python's types are too narrow for Arrow's."""
    kind = array.type
    if pat.is_timestamp(kind):
        text = array.cast(pa.timestamp(kind.unit)).cast(pa.string())[0].as_py()
        return text if kind.tz is None else f"{text}+00"
    if pat.is_date(kind) or pat.is_time(kind):
        return (array.cast(pa.date32()) if pat.is_date(kind) else array).cast(pa.string())[0].as_py()
    if pat.is_decimal(kind):
        return str(array[0].as_py())
    if pat.is_duration(kind):
        return _duration(array)
    if pat.is_interval(kind):
        months, days, nanoseconds = array[0].as_py()
        return f"{months} months {days} days {nanoseconds // 1000} microseconds"
    if pat.is_float16(kind):
        return float(array[0].as_py())
    if pat.is_string_view(kind) or pat.is_large_string(kind):
        return pc.cast(array, pa.string())[0].as_py()
    return array[0].as_py()


def _duration(array: pa.Array) -> str:
    ticks = array.cast(pa.int64())[0].as_py()
    if array.type.unit == "ns":
        return f"{ticks // 1000} microseconds"
    return f"{ticks * _MICROSECONDS[array.type.unit]} microseconds"
