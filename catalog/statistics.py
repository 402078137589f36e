"""Statistics of a data object, from its Parquet footer. Only columns without children have any."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .bounds import encode_lower, encode_upper, has_bounds, logical_value
from .physical import physical_type
from .schema import field_id, leaf_count


def object_statistics(
    footer: pq.FileMetaData, schema: pa.Schema, nan_columns: AbstractSet[int] = frozenset()
) -> list[dict[str, Any]]:
    """Return the COLUMN_STATISTICS of an object, one per column that its footer says something of.

    Args:
        footer: of an object that was written with the columns of ``schema``.
        schema: a dataset's schema, with field ids.
        nan_columns: ids of the float columns that hold a NaN. Parquet leaves NaN out of its bounds, the engine
            orders it above everything: such a column has no known upper bound.
    """
    groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    result = []
    for field, leaf in _leaf_positions(schema):
        chunks = [(group.num_rows, group.column(leaf).statistics) for group in groups]
        if chunks and all(statistics is not None for _, statistics in chunks):
            result.append(_column_statistics(field, chunks, has_nan=field_id(field) in nan_columns))
    return result


def _leaf_positions(schema: pa.Schema) -> Iterator[tuple[pa.Field, int]]:
    """Yield the fields that have bounds with their position among the Parquet file's columns."""
    position = 0
    for field in schema:
        if has_bounds(field.type):
            yield field, position
        position += leaf_count(physical_type(field.type))


def _column_statistics(field: pa.Field, chunks: list[tuple[int, Any]], *, has_nan: bool) -> dict[str, Any]:
    counts = [chunk.null_count if chunk.has_null_count else None for _, chunk in chunks]
    # A chunk of nulls has no bounds and needs none; any other chunk without bounds makes them unknown.
    bounded = [chunk for (rows, chunk), nulls in zip(chunks, counts, strict=True) if nulls != rows]
    low, high, exact = None, None, True
    if bounded and all(chunk.has_min_max for chunk in bounded):
        kind = field.type
        low, low_exact = encode_lower(min(logical_value(chunk.min_raw, kind) for chunk in bounded), kind)
        high, high_exact = encode_upper(max(logical_value(chunk.max_raw, kind) for chunk in bounded), kind)
        exact = low_exact and high_exact
    return {
        "field_id": field_id(field),
        "null_count": None if None in counts else sum(counts),
        "min": low,
        "max": None if has_nan else high,
        "exact": exact and not has_nan,
    }
