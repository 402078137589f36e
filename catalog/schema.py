"""What a dataset's schema may hold, and what an incoming Arrow schema becomes.

Arrow has several encodings of one thing (``string``, ``large_string``, ``string_view``, a dictionary of strings); a
dataset has one, so that appends from different clients fit together and every Parquet reader understands the objects.
docs/types.md has the table. Metadata of fields and schemas is dropped: only our field ids are kept.
"""

import hashlib
import json
from collections.abc import Iterator
from itertools import count
from unicodedata import category

import pyarrow as pa

from .errors import ErrorKind, LakehouseError
from .settings import WriterSettings

FIELD_ID = b"PARQUET:field_id"
"""Key in a field's metadata that Arrow's Parquet writer takes the field id from."""

INTERVAL = pa.month_day_nano_interval()
ELEMENT = "element"
MAX_FIXED_LIST = 100_000
MAX_DECIMAL_DIGITS = 38
DEFAULT_LIMITS = WriterSettings()

_NAMES = {
    pa.null(): "null",
    pa.bool_(): "bool",
    pa.int8(): "int8",
    pa.int16(): "int16",
    pa.int32(): "int32",
    pa.int64(): "int64",
    pa.uint8(): "uint8",
    pa.uint16(): "uint16",
    pa.uint32(): "uint32",
    pa.uint64(): "uint64",
    pa.float32(): "float32",
    pa.float64(): "float64",
    pa.string(): "utf8",
    pa.binary(): "binary",
    pa.date32(): "date32",
    pa.time64("us"): "time64[us]",
    pa.time64("ns"): "time64[ns]",
    pa.timestamp("us"): "timestamp[us]",
    pa.timestamp("ns"): "timestamp[ns]",
    pa.timestamp("us", tz="UTC"): "timestamp[us,UTC]",
    pa.timestamp("ns", tz="UTC"): "timestamp[ns,UTC]",
}
"""The types without children or parameters that a dataset keeps, with their names in a fingerprint."""

_WIDENED = {
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
    pa.float16(): pa.float32(),
    pa.date64(): pa.date32(),
    pa.time32("s"): pa.time64("us"),
    pa.time32("ms"): pa.time64("us"),
}


class UnsupportedTypeError(Exception):
    """A type that no dataset can hold; the text says why."""


def storable_schema(schema: pa.Schema, limits: WriterSettings = DEFAULT_LIMITS) -> pa.Schema:
    """Return the schema of the dataset that rows of ``schema`` make, with field ids 1..n in depth-first order.

    Raises:
        LakehouseError: no_columns, too_many_columns, invalid_column_name, duplicate_column or unsupported_type
            (INVALID_ARGUMENT); it names every column at fault.
    """
    if len(schema) == 0:
        raise _refused("no_columns", "a dataset needs at least one column")
    if len(schema) > limits.max_columns:
        raise _refused("too_many_columns", f"{len(schema)} columns; the limit is {limits.max_columns}")
    _check_names(column_names(schema))
    types = _storable_types(schema, limits)
    leaves = sum(map(leaf_count, types))
    if leaves > limits.max_columns:
        raise _refused("too_many_columns", f"{leaves} columns, nested ones counted; the limit is {limits.max_columns}")
    ids = count(1)
    return pa.schema([_numbered(schema.field(i).with_type(kind), ids) for i, kind in enumerate(types)])


def storable_type(source: pa.DataType) -> pa.DataType:
    """Return the type that a dataset holds for a *nested or top-level* value of type ``source``.

    Raises:
        UnsupportedTypeError: there is none. Intervals and durations are kept at the top level only, see
            :func:`storable_schema`.
    """
    if isinstance(source, pa.BaseExtensionType):
        return storable_type(source.storage_type)
    if pa.types.is_dictionary(source) or pa.types.is_run_end_encoded(source):
        return storable_type(source.value_type)
    if source in _NAMES:
        return source
    if source in _WIDENED:
        return _WIDENED[source]
    if pa.types.is_fixed_size_binary(source):
        return pa.binary()
    if pa.types.is_timestamp(source):
        unit = "ns" if source.unit == "ns" else "us"
        return pa.timestamp(unit, tz=None if source.tz is None else "UTC")
    if pa.types.is_decimal(source):
        return _storable_decimal(source)
    if pa.types.is_nested(source):
        return _storable_nested(source)
    raise UnsupportedTypeError(f"{source} is not supported")


def fingerprint(schema: pa.Schema) -> str:
    """Return the identity of a storable schema: column order, names, types and nullability, not metadata or ids."""
    columns = [[field.name, _type_name(field.type), field.nullable] for field in schema]
    text = json.dumps(columns, ensure_ascii=True, separators=(",", ":"))
    return "v1:" + hashlib.sha256(text.encode("ascii")).hexdigest()


def field_id(field: pa.Field) -> int:
    """Return the id of a field of a storable schema."""
    return int(field.metadata[FIELD_ID])


def leaf_count(kind: pa.DataType) -> int:
    """Return how many Parquet columns a type makes."""
    return sum(leaf_count(child.type) for child in _children(kind)) if pa.types.is_nested(kind) else 1


def column_names(schema: pa.Schema) -> list[str]:
    """Return the column names of an untrusted schema, whose names need not be UTF-8."""
    try:
        return list(schema.names)
    except UnicodeDecodeError:
        raise _refused("invalid_column_name", "a column name is not valid UTF-8") from None


class ColumnIndex:
    """Where columns are, by name: exact matches, else those that differ in case only."""

    def __init__(self, names: list[str]) -> None:
        self._exact: dict[str, list[int]] = {}
        self._folded: dict[str, list[int]] = {}
        for position, name in enumerate(names):
            self._exact.setdefault(name, []).append(position)
            self._folded.setdefault(name.casefold(), []).append(position)

    def find(self, name: str) -> list[int]:
        """Return the positions of all columns that ``name`` may mean."""
        return self._exact.get(name) or self._folded.get(name.casefold(), [])


def _refused(code: str, message: str) -> LakehouseError:
    return LakehouseError(ErrorKind.INVALID_ARGUMENT, code, message)


def _check_names(names: list[str]) -> None:
    invalid = [repr(name) for name in names if not _is_valid_name(name)]
    if invalid:
        raise _refused(
            "invalid_column_name", f"column names must not be empty or hold control characters: {', '.join(invalid)}"
        )
    duplicates = _duplicates(names)
    if duplicates:
        raise _refused(
            "duplicate_column", f"column names must differ in more than upper and lower case: {', '.join(duplicates)}"
        )


def _is_valid_name(name: str) -> bool:
    return bool(name) and all(category(character) != "Cc" for character in name)


def _duplicates(names: list[str]) -> list[str]:
    seen: dict[str, list[str]] = {}
    for name in names:
        seen.setdefault(name.casefold(), []).append(name)
    return [repr(name) for group in seen.values() if len(group) > 1 for name in group]


def _storable_types(schema: pa.Schema, limits: WriterSettings) -> list[pa.DataType]:
    types, problems = [], []
    for field in schema:
        try:
            types.append(_storable_column(field.type, limits))
        except UnsupportedTypeError as error:
            problems.append(f"{field.name!r}: {error}")
    if problems:
        raise _refused("unsupported_type", "; ".join(problems))
    return types


def _storable_column(source: pa.DataType, limits: WriterSettings) -> pa.DataType:
    kind = INTERVAL if _is_interval(source) else storable_type(source)
    if _depth(kind) > limits.max_nesting:
        raise UnsupportedTypeError(f"nested more than {limits.max_nesting} levels deep")
    return kind


def _is_interval(source: pa.DataType) -> bool:
    return bool(pa.types.is_duration(source)) or source == INTERVAL


def _storable_decimal(source: pa.DataType) -> pa.DataType:
    if source.precision > MAX_DECIMAL_DIGITS:
        raise UnsupportedTypeError(f"a decimal has at most {MAX_DECIMAL_DIGITS} digits, not {source.precision}")
    if not 0 <= source.scale <= source.precision:
        raise UnsupportedTypeError(f"the scale of a decimal lies between 0 and its precision, unlike {source}")
    return pa.decimal128(source.precision, source.scale)


def _storable_nested(source: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(source):
        return _storable_struct(source)
    if pa.types.is_map(source):
        # An entry's key is never null: Arrow says so, and Parquet needs it.
        key = pa.field("key", storable_type(source.key_type), nullable=False)
        return pa.map_(key, pa.field("value", storable_type(source.item_type)))
    if pa.types.is_union(source):
        raise UnsupportedTypeError("unions are not supported")
    element = pa.field(ELEMENT, storable_type(source.value_type))
    if not pa.types.is_fixed_size_list(source):
        return pa.list_(element)
    if not 1 <= source.list_size <= MAX_FIXED_LIST:
        raise UnsupportedTypeError(f"a fixed-size list has 1 to {MAX_FIXED_LIST} elements, not {source.list_size}")
    return pa.list_(element, source.list_size)


def _storable_struct(source: pa.DataType) -> pa.DataType:
    fields = list(source)
    try:
        names = [field.name for field in fields]
    except UnicodeDecodeError:
        raise UnsupportedTypeError("a name in a struct is not valid UTF-8") from None
    if not fields or not all(map(_is_valid_name, names)):
        raise UnsupportedTypeError("a struct needs fields, with names that are not empty or hold control characters")
    if duplicates := _duplicates(names):
        raise UnsupportedTypeError(f"names in a struct must differ in more than case: {', '.join(duplicates)}")
    return pa.struct([pa.field(field.name, storable_type(field.type)) for field in fields])


def _children(kind: pa.DataType) -> list[pa.Field]:
    return (
        [kind.field(i) for i in range(kind.num_fields)]
        if not pa.types.is_map(kind)
        else [kind.key_field, kind.item_field]
    )


def _depth(kind: pa.DataType) -> int:
    return 1 + max(_depth(child.type) for child in _children(kind)) if pa.types.is_nested(kind) else 0


def _numbered(field: pa.Field, ids: Iterator[int]) -> pa.Field:
    metadata = {FIELD_ID: str(next(ids)).encode("ascii")}
    return pa.field(field.name, _numbered_type(field.type, ids), field.nullable, metadata)


def _numbered_type(kind: pa.DataType, ids: Iterator[int]) -> pa.DataType:
    if not pa.types.is_nested(kind):
        return kind
    children = [_numbered(child, ids) for child in _children(kind)]
    if pa.types.is_struct(kind):
        return pa.struct(children)
    if pa.types.is_map(kind):
        return pa.map_(*children)
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(children[0], kind.list_size)
    return pa.list_(children[0])


def _type_name(kind: pa.DataType) -> str:
    if kind in _NAMES:
        return _NAMES[kind]
    if kind == INTERVAL:
        return "interval"
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_struct(kind):
        return "struct<" + ",".join(f"{json.dumps(f.name)}:{_type_name(f.type)}" for f in kind) + ">"
    if pa.types.is_map(kind):
        return f"map<{_type_name(kind.key_type)},{_type_name(kind.item_type)}>"
    if pa.types.is_fixed_size_list(kind):
        return f"list<{_type_name(kind.value_type)},{kind.list_size}>"
    if pa.types.is_list(kind):
        return f"list<{_type_name(kind.value_type)}>"
    raise LakehouseError(ErrorKind.INTERNAL, "unsupported_type", f"{kind} is not a dataset's type")
