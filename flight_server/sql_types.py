"""The SQL names of Arrow types, in the words of the engine's dialect."""

import re

import pyarrow as pa

_NAMES: dict[pa.DataType, str] = {
    pa.null(): '"NULL"',
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.uint8(): "UTINYINT",
    pa.uint16(): "USMALLINT",
    pa.uint32(): "UINTEGER",
    pa.uint64(): "UBIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.large_string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.large_binary(): "BLOB",
    pa.date32(): "DATE",
    pa.time64("us"): "TIME",
    pa.time64("ns"): "TIME_NS",
    pa.timestamp("s"): "TIMESTAMP_S",
    pa.timestamp("ms"): "TIMESTAMP_MS",
    pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("ns"): "TIMESTAMP_NS",
    pa.month_day_nano_interval(): "INTERVAL",
}

_INTEGER_DIGITS: dict[pa.DataType, int] = {
    pa.int8(): 3,
    pa.int16(): 5,
    pa.int32(): 10,
    pa.int64(): 19,
    pa.uint8(): 3,
    pa.uint16(): 5,
    pa.uint32(): 10,
    pa.uint64(): 20,
}

_BARE_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]*")


def sql_type_name(kind: pa.DataType) -> str:
    """Return the name of the SQL type that a column of an Arrow type has, such as ``DECIMAL(10,2)``."""
    if kind in _NAMES:
        return _NAMES[kind]
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMPTZ_NS" if kind.unit == "ns" else "TIMESTAMP WITH TIME ZONE"
    if pa.types.is_fixed_size_list(kind):
        return f"{sql_type_name(kind.value_type)}[{kind.list_size}]"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"{sql_type_name(kind.value_type)}[]"
    if pa.types.is_map(kind):
        return f"MAP({sql_type_name(kind.key_type)}, {sql_type_name(kind.item_type)})"
    if pa.types.is_struct(kind):
        return f"STRUCT({', '.join(_member(field) for field in kind)})"
    return str(kind).upper()


def precision_and_scale(kind: pa.DataType) -> tuple[int, int] | None:
    """Return the decimal digits of a number and how many are after the point; None for types without."""
    if pa.types.is_decimal(kind):
        return kind.precision, kind.scale
    return (_INTEGER_DIGITS[kind], 0) if kind in _INTEGER_DIGITS else None


def without_metadata(kind: pa.DataType) -> pa.DataType:
    """Return the type with no metadata on its children, at any depth."""
    if pa.types.is_struct(kind):
        return pa.struct([_plain(field) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_plain(kind.key_field), _plain(kind.item_field), keys_sorted=kind.keys_sorted)
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain(kind.value_field), kind.list_size)
    return pa.list_(_plain(kind.value_field)) if pa.types.is_list(kind) else kind


def _plain(field: pa.Field) -> pa.Field:
    return pa.field(field.name, without_metadata(field.type), field.nullable)


def _member(field: pa.Field) -> str:
    name = field.name
    quoted = name if _BARE_IDENTIFIER.fullmatch(name) else '"' + name.replace('"', '""') + '"'
    return f"{quoted} {sql_type_name(field.type)}"
