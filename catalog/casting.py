"""From an untrusted record batch to exactly a dataset's schema, losing nothing or refusing.

Encodings (dictionaries, views, run ends, extensions) are undone; numbers, decimals and times may change their width
or unit if every value stays what it is. Nothing is rounded, parsed or guessed.
"""

from dataclasses import dataclass

import pyarrow as pa

from .decoding import TooLargeError, decoded, fixed_bytes, list_parts, map_parts
from .errors import ErrorKind, LakehouseError
from .leaves import InexactError, cast_leaf, check_interval, leaf_castable
from .schema import DEFAULT_LIMITS, INTERVAL, ColumnIndex, column_names
from .settings import WriterSettings


def check_castable(source: pa.Schema, target: pa.Schema) -> None:
    """Check by schema alone that batches of ``source`` can be rows of a dataset with schema ``target``.

    Raises:
        LakehouseError: schema_mismatch; it names all columns that are missing, unknown or of another type.
    """
    _positions(source, target)


def cast_batch(batch: pa.RecordBatch, target: pa.Schema, limits: WriterSettings = DEFAULT_LIMITS) -> pa.RecordBatch:
    """Validate an untrusted batch and return its rows with exactly the schema ``target``.

    Columns are found by name: exactly, else ignoring case. A batch that already fits is not copied.

    Raises:
        LakehouseError: invalid_batch, schema_mismatch, value_out_of_range, null_in_not_null_column
            (INVALID_ARGUMENT) or batch_too_large (TOO_LARGE).
    """
    _validate(batch)
    positions = _positions(batch.schema, target)
    _check_size(max(batch.nbytes, batch.num_rows * sum(fixed_bytes(f.type) for f in target)), limits)
    columns, size = [], 0
    for position, field in zip(positions, target, strict=True):
        columns.append(_cast_column(batch.column(position), field, limits))
        size += columns[-1].nbytes
        _check_size(size, limits)
    return pa.RecordBatch.from_arrays(columns, schema=target)


def cast_array(array: pa.Array, target: pa.DataType, limit_bytes: int = DEFAULT_LIMITS.max_batch_bytes) -> pa.Array:
    """Return an array with the same values as type ``target``.

    Raises:
        InexactError: some value would change, or no value of this type can be one of ``target``.
        TooLargeError: the decoded values take more than ``limit_bytes`` or 2 GiB of text.
    """
    if array.type == target:
        return array
    array = decoded(array, limit_bytes)
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), target)
    if not pa.types.is_nested(target):
        return cast_leaf(array, target, limit_bytes)
    if not castable(array.type, target):
        raise InexactError(f"{array.type} cannot become {target}")
    return _cast_nested(array, target, limit_bytes)


def castable(source: pa.DataType, target: pa.DataType) -> bool:
    """Say whether values of type ``source`` may become ``target``; single values may still be refused."""
    if isinstance(source, pa.BaseExtensionType):
        return castable(source.storage_type, target)
    if pa.types.is_dictionary(source) or pa.types.is_run_end_encoded(source):
        return castable(source.value_type, target)
    if pa.types.is_null(source) or source == target:
        return True
    if not pa.types.is_nested(target):
        return leaf_castable(source, target)
    if pa.types.is_struct(target):
        return bool(pa.types.is_struct(source)) and _struct_positions(source, target) is not None
    if pa.types.is_map(target):
        is_map = bool(pa.types.is_map(source))
        return is_map and castable(source.key_type, target.key_type) and castable(source.item_type, target.item_type)
    if pa.types.is_fixed_size_list(target):
        same_size = pa.types.is_fixed_size_list(source) and source.list_size == target.list_size
        return same_size and castable(source.value_type, target.value_type)
    return _is_list(source) and castable(source.value_type, target.value_type)


@dataclass
class _Mismatch:
    missing: list[str]
    unknown: list[str]
    ambiguous: list[str]
    types: list[str]

    def __str__(self) -> str:
        parts = [
            ("missing columns", self.missing),
            ("columns that the dataset does not have", self.unknown),
            ("columns that match several by name", self.ambiguous),
            ("columns of another type", self.types),
        ]
        return "; ".join(f"{title}: {', '.join(names)}" for title, names in parts if names)


def _validate(batch: pa.RecordBatch) -> None:
    try:
        batch.validate(full=True)
    except pa.ArrowException as error:
        raise LakehouseError(ErrorKind.INVALID_ARGUMENT, "invalid_batch", f"the batch is not valid: {error}") from None


def _positions(source: pa.Schema, target: pa.Schema) -> list[int]:
    """Return where each column of ``target`` is in ``source``."""
    if source.equals(target):
        return list(range(len(target)))
    names = column_names(source)
    index = ColumnIndex(names)
    mismatch = _Mismatch([], [], [], [])
    found: list[int] = []
    for field in target:
        candidates = index.find(field.name)
        if not candidates:
            mismatch.missing.append(repr(field.name))
        elif len(candidates) > 1:
            mismatch.ambiguous.append(repr(field.name))
        elif not _column_castable(source.field(candidates[0]), field):
            mismatch.types.append(f"{field.name!r} ({source.field(candidates[0]).type} cannot become {field.type})")
        found.extend(candidates)
    used = set(found)
    mismatch.unknown = [repr(name) for i, name in enumerate(names) if i not in used]
    if text := str(mismatch):
        raise LakehouseError(ErrorKind.INVALID_ARGUMENT, "schema_mismatch", text)
    return found


def _column_castable(source: pa.Field, target: pa.Field) -> bool:
    is_all_null = bool(pa.types.is_null(source.type)) and not pa.types.is_null(target.type)
    return castable(source.type, target.type) and (target.nullable or not is_all_null)


def _cast_column(array: pa.Array, field: pa.Field, limits: WriterSettings) -> pa.Array:
    try:
        result = cast_array(array, field.type, limits.max_batch_bytes)
        if field.type == INTERVAL:
            check_interval(result)
    except InexactError as error:
        raise LakehouseError(
            ErrorKind.INVALID_ARGUMENT, "value_out_of_range", f"column {field.name!r}: {error}"
        ) from None
    except TooLargeError as error:
        raise LakehouseError(ErrorKind.TOO_LARGE, "batch_too_large", f"column {field.name!r}: {error}") from None
    if not field.nullable and result.null_count:
        message = f"column {field.name!r} is NOT NULL, but {result.null_count} of the batch's values are null"
        raise LakehouseError(ErrorKind.INVALID_ARGUMENT, "null_in_not_null_column", message)
    return result


def _check_size(size: int, limits: WriterSettings) -> None:
    if size > limits.max_batch_bytes:
        message = f"the batch takes {size} bytes decoded; the limit is {limits.max_batch_bytes}: send smaller batches"
        raise LakehouseError(ErrorKind.TOO_LARGE, "batch_too_large", message)


def _is_list(kind: pa.DataType) -> bool:
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_list_view, pa.types.is_large_list_view)
    return any(test(kind) for test in tests)


def _struct_positions(source: pa.DataType, target: pa.DataType) -> list[int] | None:
    """Return where each field of the struct ``target`` is in ``source``, or None if they do not fit."""
    names = [field.name for field in source]
    index = ColumnIndex(names)
    found = [index.find(field.name) for field in target]
    if len(names) != len(found) or any(len(positions) != 1 for positions in found):
        return None
    flat = [positions[0] for positions in found]
    fits = all(castable(source.field(i).type, field.type) for i, field in zip(flat, target, strict=True))
    return flat if fits else None


def _cast_nested(array: pa.Array, target: pa.DataType, limit: int) -> pa.Array:
    if pa.types.is_struct(target):
        positions = _struct_positions(array.type, target) or []
        children = array.flatten()
        columns = [cast_array(children[i], f.type, limit) for i, f in zip(positions, target, strict=True)]
        return pa.StructArray.from_arrays(columns, fields=list(target), mask=array.is_null())
    if pa.types.is_fixed_size_list(target):
        size = target.list_size
        values = array.values.slice(array.offset * size, len(array) * size)
        values = cast_array(values, target.value_type, limit)
        return pa.FixedSizeListArray.from_arrays(values, type=target, mask=array.is_null())
    if pa.types.is_map(target):
        entry_bytes = fixed_bytes(target.key_type) + fixed_bytes(target.item_type)
        offsets, keys, items = map_parts(array, entry_bytes, limit)
        keys, items = cast_array(keys, target.key_type, limit), cast_array(items, target.item_type, limit)
        return pa.MapArray.from_arrays(offsets, keys, items, type=target, mask=array.is_null())
    offsets, values = list_parts(array, fixed_bytes(target.value_type), limit)
    values = cast_array(values, target.value_type, limit)
    return pa.ListArray.from_arrays(offsets, values, type=target, mask=array.is_null())
