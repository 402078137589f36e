"""Bounds of columns as bytes: the binary single-value form of the Iceberg specification (appendix D).

Integers and times are little-endian, decimals big-endian two's complement of the unscaled value without leading
bytes. Unsigned 64-bit integers, which Iceberg does not know, are 8 bytes little-endian. Text and bytes are cut to 32
characters or bytes; an upper bound is then rounded up.
"""

import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

PREFIX_LENGTH = 32
_LAST_CODE_POINT = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)

_LAYOUTS = {
    pa.bool_(): "<u1",
    pa.int8(): "<i4",
    pa.int16(): "<i4",
    pa.int32(): "<i4",
    pa.int64(): "<i8",
    pa.uint8(): "<i4",
    pa.uint16(): "<i4",
    pa.uint32(): "<i8",
    pa.uint64(): "<u8",
    pa.float32(): "<f4",
    pa.float64(): "<f8",
    pa.date32(): "<i4",
}


def encode_lower(raw: Any, kind: pa.DataType) -> tuple[bytes, bool]:
    """Return a footer's physical minimum as a lower bound, and whether it is exact."""
    if not _is_text(kind):
        return _encode(raw, kind), True
    cut = _cut(raw, kind)
    return cut, cut == raw


def encode_upper(raw: Any, kind: pa.DataType) -> tuple[bytes | None, bool]:
    """Return a footer's physical maximum as an upper bound, or None if there is no short one, and whether it is exact."""
    if not _is_text(kind):
        return _encode(raw, kind), True
    cut = _cut(raw, kind)
    if cut == raw:
        return cut, True
    return _next_text(cut.decode()) if pa.types.is_string(kind) else _next_bytes(cut), False


def logical_value(raw: Any, kind: pa.DataType) -> Any:
    """Return a footer's physical minimum or maximum as a value that compares as its type does."""
    if pa.types.is_decimal(kind) and isinstance(raw, bytes):
        return int.from_bytes(raw, "big", signed=True)
    if pa.types.is_unsigned_integer(kind):
        return raw % 2 ** max(kind.bit_width, 32)
    return raw


def decode(bounds: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return bounds (binary, null for unknown) as comparable values; what is not a bound of ``kind`` becomes null.

    See :func:`comparable` for the type of the result.
    """
    if _is_text(kind):
        return bounds
    lengths = pc.binary_length(bounds)
    if pa.types.is_decimal(kind):
        return _decimals(_only(bounds, pc.and_(pc.greater(lengths, 0), pc.less_equal(lengths, 16))), kind)
    layout = _layout(kind)
    bounds = _only(bounds, pc.equal(lengths, layout.itemsize))
    known = bounds.is_valid().to_numpy(zero_copy_only=False)
    values = np.zeros(len(bounds), dtype=layout)
    values[known] = np.frombuffer(_bytes_of(bounds), dtype=layout)
    unknown = ~known | np.isnan(values) if layout.kind == "f" else ~known
    return pa.array(values, mask=unknown).cast(comparable(kind))


def comparable(kind: pa.DataType) -> pa.DataType:
    """Return the type that bounds and values of type ``kind`` are compared as."""
    if _is_text(kind):
        return pa.binary()
    return kind if pa.types.is_decimal(kind) else pa.from_numpy_dtype(_layout(kind))


def has_bounds(kind: pa.DataType) -> bool:
    """Say whether columns of this type have bounds."""
    return _is_text(kind) or bool(pa.types.is_decimal(kind)) or _is_clock(kind) or kind in _LAYOUTS


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _is_clock(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_time64(kind))


def _layout(kind: pa.DataType) -> np.dtype:
    return np.dtype("<i8" if _is_clock(kind) else _LAYOUTS[kind])


def _encode(value: Any, kind: pa.DataType) -> bytes:
    if pa.types.is_decimal(kind):
        return int(value).to_bytes((value if value >= 0 else ~value).bit_length() // 8 + 1, "big", signed=True)
    return struct.pack(
        "<" + {"u1": "B", "i4": "i", "i8": "q", "u8": "Q", "f4": "f", "f8": "d"}[_layout(kind).str[1:]], value
    )


def _cut(raw: bytes, kind: pa.DataType) -> bytes:
    if pa.types.is_binary(kind) or len(raw) <= PREFIX_LENGTH:
        return raw[:PREFIX_LENGTH]
    return raw.decode()[:PREFIX_LENGTH].encode()


def _next_text(text: str) -> bytes | None:
    """Return the least text that is above every text that begins with ``text``: UTF-8 orders by code point."""
    kept = text.rstrip(chr(_LAST_CODE_POINT))
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    return (kept[:-1] + chr(_SURROGATES.stop if following in _SURROGATES else following)).encode()


def _next_bytes(data: bytes) -> bytes | None:
    kept = data.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


def _only(bounds: pa.Array, condition: pa.Array) -> pa.Array:
    return pc.if_else(condition, bounds, pa.scalar(None, pa.binary()))


def _bytes_of(bounds: pa.Array) -> memoryview:
    """Return the bytes of all known bounds, one after the other."""
    known = bounds.drop_null()
    offsets = np.frombuffer(known.buffers()[1], dtype="<i4")[known.offset : known.offset + len(known) + 1]
    return memoryview(known.buffers()[2] or b"")[offsets[0] : offsets[-1]]


def _decimals(bounds: pa.Array, kind: pa.DataType) -> pa.Array:
    known = bounds.is_valid()
    lengths = pc.binary_length(bounds.drop_null()).to_numpy()
    data = np.frombuffer(_bytes_of(bounds), dtype=np.uint8)
    ends = np.cumsum(lengths, dtype=np.int64)
    # Big-endian bytes go to the right of 16, the sign to the left of them.
    negative = data.view(np.int8)[ends - lengths] < 0
    wide = np.where(negative[:, None], np.uint8(0xFF), np.uint8(0)).repeat(16, axis=1)
    column = 16 - np.repeat(ends, lengths) + np.arange(len(data))
    wide[np.repeat(np.arange(len(lengths)), lengths), column] = data
    values = np.zeros((len(bounds), 16), dtype=np.uint8)
    values[known.to_numpy(zero_copy_only=False)] = wide[:, ::-1]
    return pa.Array.from_buffers(kind, len(bounds), [known.buffers()[1], pa.py_buffer(values)])
