"""How a dataset's types lie in Parquet.

Nearly all of them lie there as themselves. Two do not, because Parquet has no such type that common readers agree on:
an interval is a struct of three numbers, a fixed-size list is a list. The engine turns both back when it reads.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .schema import INTERVAL

PHYSICAL_INTERVAL = pa.struct(
    [
        pa.field("months", pa.int32(), nullable=False),
        pa.field("days", pa.int32(), nullable=False),
        pa.field("micros", pa.int64(), nullable=False),
    ]
)
"""An interval in Parquet. Its value is the sum of the three."""

_INTERVAL_LAYOUT = np.dtype([("months", "<i4"), ("days", "<i4"), ("nanos", "<i8")])


def physical_type(kind: pa.DataType) -> pa.DataType:
    """Return the type that a plain Parquet reader sees for a dataset's type."""
    if kind == INTERVAL:
        return PHYSICAL_INTERVAL
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind):
        return pa.list_(_physical_field(kind.value_field))
    if pa.types.is_map(kind):
        return pa.map_(_physical_field(kind.key_field), _physical_field(kind.item_field))
    if pa.types.is_struct(kind):
        return pa.struct([_physical_field(field) for field in kind])
    return kind


def physical_differs(kind: pa.DataType) -> bool:
    """Say whether a plain Parquet reader sees another type than the dataset's: an interval or fixed-size list in it."""
    return bool(physical_type(kind) != kind)


def written_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema that the Parquet writer is opened with; it lays fixed-size lists out as lists itself."""
    return pa.schema([field.with_type(PHYSICAL_INTERVAL) if field.type == INTERVAL else field for field in schema])


def to_parquet(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch of a dataset's schema as one of :func:`written_schema`."""
    if INTERVAL not in batch.schema.types:
        return batch
    columns = [_interval_struct(column) if column.type == INTERVAL else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=written_schema(batch.schema))


def interval_array(months: np.ndarray, days: np.ndarray, nanos: np.ndarray, valid: pa.Array) -> pa.Array:
    """Build an interval array from its parts; ``valid`` is a boolean array without nulls and without an offset."""
    values = np.zeros(len(nanos), dtype=_INTERVAL_LAYOUT)
    values["months"], values["days"], values["nanos"] = months, days, nanos
    return pa.Array.from_buffers(INTERVAL, len(values), [valid.buffers()[1], pa.py_buffer(values)])


def interval_parts(array: pa.Array) -> np.ndarray:
    """Return a view of an interval array's values, null slots included, as (months, days, nanos) records."""
    return np.frombuffer(array.buffers()[1] or b"", dtype=_INTERVAL_LAYOUT)[array.offset : array.offset + len(array)]


def _interval_struct(array: pa.Array) -> pa.Array:
    parts = interval_parts(array)
    columns = [
        pa.array(np.ascontiguousarray(parts["months"])),
        pa.array(np.ascontiguousarray(parts["days"])),
        pa.array(parts["nanos"] // 1000),
    ]
    return pa.StructArray.from_arrays(columns, fields=list(PHYSICAL_INTERVAL), mask=pc.is_null(array))


def _physical_field(field: pa.Field) -> pa.Field:
    return field.with_type(physical_type(field.type))
