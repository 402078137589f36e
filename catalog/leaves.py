"""Exact casts between types without children."""

from enum import Enum, auto

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .decoding import check_text, is_text
from .physical import interval_array, interval_parts
from .schema import INTERVAL


class InexactError(Exception):
    """Some value would change; the text says which and why."""


class _Family(Enum):
    """Types between which a cast may be tried. An integer may also become a float or a decimal that holds it."""

    INTEGER = auto()
    FLOAT = auto()
    DECIMAL = auto()
    TEXT = auto()
    BINARY = auto()
    DATE = auto()
    TIME = auto()
    TIMESTAMP = auto()
    TIMESTAMP_UTC = auto()
    INTERVAL = auto()
    OTHER = auto()


_WIDER = {(_Family.INTEGER, _Family.FLOAT), (_Family.INTEGER, _Family.DECIMAL)}
_INTEGER_DECIMAL = pa.decimal128(20, 0)


def leaf_castable(source: pa.DataType, target: pa.DataType) -> bool:
    """Say whether values of one type without children may become another's; single values may still be refused."""
    families = (_family(source), _family(target))
    return source == target or families in _WIDER or (families[0] == families[1] and families[0] is not _Family.OTHER)


def cast_leaf(array: pa.Array, target: pa.DataType, limit_bytes: int) -> pa.Array:
    """Return the same values as type ``target``.

    Raises:
        InexactError: some value would change, or the types have nothing to do with each other.
        TooLargeError: text takes more than ``limit_bytes`` or than one array can hold.
    """
    source = array.type
    if source == target:
        return array
    if not leaf_castable(source, target):
        raise InexactError(f"{source} cannot become {target}")
    if is_text(source):
        check_text(array, limit_bytes)
    try:
        if target == INTERVAL:
            return _interval_from_duration(array)
        if pa.types.is_integer(source) and pa.types.is_decimal(target):
            array = array.cast(_INTEGER_DECIMAL)
        result = array.cast(target, safe=True)
    except pa.ArrowInvalid as error:
        raise InexactError(str(error)) from None
    if pa.types.is_floating(source) and source.bit_width > target.bit_width:
        _check_same_floats(array, result)
    return result


def check_interval(array: pa.Array) -> None:
    """Check that every interval is a whole number of microseconds, which is what the engine keeps.

    Raises:
        InexactError: one is not.
    """
    nanos = interval_parts(array)["nanos"]
    if (nanos[array.is_valid().to_numpy(zero_copy_only=False)] % 1000).any():
        raise InexactError("an interval is not a whole number of microseconds")


def _family(kind: pa.DataType) -> _Family:
    if pa.types.is_timestamp(kind):
        return _Family.TIMESTAMP if kind.tz is None else _Family.TIMESTAMP_UTC
    if is_text(kind):
        is_string = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
        return _Family.TEXT if is_string else _Family.BINARY
    tests = {
        pa.types.is_integer: _Family.INTEGER,
        pa.types.is_floating: _Family.FLOAT,
        pa.types.is_decimal: _Family.DECIMAL,
        pa.types.is_date: _Family.DATE,
        pa.types.is_time: _Family.TIME,
        pa.types.is_duration: _Family.INTERVAL,
    }
    families = (family for test, family in tests.items() if test(kind))
    return _Family.INTERVAL if kind == INTERVAL else next(families, _Family.OTHER)


def _check_same_floats(source: pa.Array, result: pa.Array) -> None:
    back = result.cast(source.type)
    same = pc.or_(pc.equal(back, source), pc.is_nan(source))
    if pc.all(same).as_py() is False:
        example = source.filter(pc.invert(same))[0].as_py()
        raise InexactError(f"{example!r} is not exact as {result.type}")


def _interval_from_duration(array: pa.Array) -> pa.Array:
    micros = array.cast(pa.duration("us"), safe=True).cast(pa.int64())
    nanos = pc.multiply_checked(micros, pa.scalar(1000, pa.int64())).fill_null(0).to_numpy()
    zeros = np.zeros(len(nanos), np.int32)
    return interval_array(zeros, zeros, nanos, array.is_valid())
