"""Values that CSV and text tables have no form of their own for, as text.

Nested values become JSON, binary becomes base64, intervals become ISO 8601 durations (``P1M2DT3.5S``).
"""

import base64
import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_NANOS_PER_SECOND = 1_000_000_000


def has_csv_form(arrow_type: pa.DataType) -> bool:
    """Tell whether Arrow's CSV writer writes this type itself, in a way that reads back."""
    return not (
        pa.types.is_nested(arrow_type)
        or pa.types.is_binary(arrow_type)
        or pa.types.is_large_binary(arrow_type)
        or pa.types.is_fixed_size_binary(arrow_type)
        or pa.types.is_binary_view(arrow_type)
        or pa.types.is_interval(arrow_type)
        or pa.types.is_duration(arrow_type)
        or isinstance(arrow_type, pa.BaseExtensionType)
    )


def flat_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema with text in place of every type without a CSV form."""
    return pa.schema([field if has_csv_form(field.type) else pa.field(field.name, pa.string()) for field in schema])


def flat_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return the batch in its `flat_schema`."""
    columns = [
        column if has_csv_form(column.type) else pa.array([_text(value) for value in column.to_pylist()], pa.string())
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def display_text(column: pa.Array) -> list[str]:
    """Return every value of a column as a person wants to read it; null is empty."""
    if has_csv_form(column.type):
        return [value or "" for value in pc.cast(column, pa.string()).to_pylist()]
    return [_text(value) or "" for value in column.to_pylist()]


def _text(value: Any) -> str | None:
    if value is None:
        return None
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """Return the value with everything that JSON does not have as text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, pa.MonthDayNano):
        return _iso_duration(value)
    if isinstance(value, dict):
        return {str(key): _plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, tuple):  # an entry of a map
        return [_plain(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _iso_duration(interval: pa.MonthDayNano) -> str:
    seconds, nanoseconds = divmod(abs(interval.nanoseconds), _NANOS_PER_SECOND)
    sign = "-" if interval.nanoseconds < 0 else ""
    fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    return f"P{interval.months}M{interval.days}DT{sign}{seconds}{fraction}S"
