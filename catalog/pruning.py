"""Skip data objects that cannot hold a row that a query wants.

Everything is done on whole Arrow columns: ten thousand objects cost milliseconds. What is unknown never prunes.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .bounds import comparable, decode, has_bounds
from .decoding import MAX_OFFSET, TooLargeError
from .leaves import InexactError, cast_leaf
from .schema import ColumnIndex, field_id

Operator = Literal["=", "<", "<=", ">", ">=", "in", "is_null", "is_not_null"]

LISTED_VALUES = 64
"""Up to so many values of an ``in`` are looked for one by one; of more, only the least and the greatest."""


@dataclass(frozen=True)
class Predicate:
    """A condition on one column that every wanted row fulfils.

    Attributes:
        column: name, exactly or in another case.
        operator: comparison; text is compared by its UTF-8 bytes, NaN is above every other number.
        values: what it is compared with: one value, or any number for ``in``, or none. If they cannot exactly become
            the column's type, the predicate prunes nothing.
    """

    column: str
    operator: Operator
    values: pa.Array


def prune(objects: pa.Table, schema: pa.Schema, predicates: list[Predicate]) -> pa.Table:
    """Return the rows of ``objects`` that may hold rows that fulfil all predicates.

    Args:
        objects: a table of OBJECTS.
        schema: the dataset's, with field ids.
        predicates: conditions on columns; those on columns that have no statistics prune nothing.
    """
    if not predicates or not objects.num_rows:
        return objects
    statistics = _Statistics(objects)
    index = ColumnIndex(schema.names)
    keep = np.ones(objects.num_rows, dtype=bool)
    for predicate in predicates:
        positions = index.find(predicate.column)
        if len(positions) == 1 and has_bounds(schema.field(positions[0]).type):
            keep &= _may_match(statistics, schema.field(positions[0]), predicate)
    return objects if keep.all() else objects.filter(pa.array(keep))


class _Statistics:
    """The statistics of all objects, flattened once."""

    def __init__(self, objects: pa.Table) -> None:
        column = objects.column("statistics")
        lists = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        self.rows = objects.column("rows").to_numpy()
        self._parents = pc.list_parent_indices(lists).to_numpy()
        self._columns = dict(zip((f.name for f in lists.type.value_type), lists.flatten().flatten(), strict=True))
        self._field_ids = self._columns["field_id"].to_numpy()

    def of(self, field: int) -> tuple[np.ndarray, pa.Array, pa.Array]:
        """Return (null counts or -1, lower bounds, upper bounds) of one field: one per object, null for unknown."""
        positions = np.flatnonzero(self._field_ids == field)
        where = np.full(len(self.rows), -1)
        where[self._parents[positions]] = positions
        indices = pa.array(where, mask=where < 0)
        null_count, low, high = (self._columns[name].take(indices) for name in ("null_count", "min", "max"))
        return null_count.fill_null(-1).to_numpy(zero_copy_only=False), low, high


def _may_match(statistics: _Statistics, field: pa.Field, predicate: Predicate) -> np.ndarray | bool:
    if predicate.operator in {"is_null", "is_not_null"}:
        null_count, _, _ = statistics.of(field_id(field))
        return np.asarray(null_count != (0 if predicate.operator == "is_null" else statistics.rows))
    values = _comparable_values(predicate, field.type)
    if values is None:
        return True
    null_count, low, high = statistics.of(field_id(field))
    in_bounds = _in_bounds(predicate.operator, decode(low, field.type), decode(high, field.type), values)
    return np.asarray(in_bounds.to_numpy(zero_copy_only=False) & (null_count != statistics.rows))


def _comparable_values(predicate: Predicate, kind: pa.DataType) -> pa.Array | None:
    """Return what the column is compared with, in the type that bounds are decoded to, or None if it says nothing."""
    values = predicate.values
    try:
        values = cast_leaf(values, kind, MAX_OFFSET)
    except (InexactError, TooLargeError):
        return None
    values = values.drop_null()
    is_nan = pa.types.is_floating(kind) and pc.any(pc.is_nan(values)).as_py()
    if not len(values) or is_nan or (predicate.operator != "in" and len(values) != 1):
        return None
    if pa.types.is_boolean(kind):
        return values.cast(pa.uint8())
    if pa.types.is_temporal(kind):
        return values.view(pa.int32() if pa.types.is_date32(kind) else pa.int64())
    return values.cast(comparable(kind))


def _in_bounds(operator: Operator, low: pa.Array, high: pa.Array, values: pa.Array) -> pa.Array:
    if operator == "in" and len(values) > LISTED_VALUES:
        order = pc.sort_indices(values)
        least, greatest = values[order[0].as_py()], values[order[-1].as_py()]
        return pc.and_(_or_unknown(pc.less_equal(low, greatest)), _or_unknown(pc.greater_equal(high, least)))
    if operator == "in":
        return reduce(pc.or_, (_holds(low, high, value) for value in values))
    value = values[0]
    if operator == "=":
        return _holds(low, high, value)
    compare, bound = {
        "<": (pc.less, low),
        "<=": (pc.less_equal, low),
        ">": (pc.greater, high),
        ">=": (pc.greater_equal, high),
    }[operator]
    return _or_unknown(compare(bound, value))


def _holds(low: pa.Array, high: pa.Array, value: pa.Scalar) -> pa.Array:
    return pc.and_(_or_unknown(pc.less_equal(low, value)), _or_unknown(pc.greater_equal(high, value)))


def _or_unknown(result: pa.Array) -> pa.Array:
    return result.fill_null(True)
