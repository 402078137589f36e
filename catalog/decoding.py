"""Undo Arrow's encodings without trusting their sizes.

A few bytes of dictionary indices, run ends or views can stand for terabytes. Every step that makes an array longer or
wider therefore works out the size first and refuses what is over the limit.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MAX_OFFSET = 2**31 - 1


class TooLargeError(Exception):
    """Decoded values would not fit; the text says what and how large."""


def decoded(array: pa.Array, limit_bytes: int) -> pa.Array:
    """Return an array with the extension, dictionary and run ends of its top level undone.

    Raises:
        TooLargeError: the values would take more than ``limit_bytes``.
    """
    if isinstance(array, pa.ExtensionArray):
        return decoded(array.storage, limit_bytes)
    if pa.types.is_dictionary(array.type):
        return decoded(_taken(array.dictionary, array.indices, limit_bytes), limit_bytes)
    if pa.types.is_run_end_encoded(array.type):
        return decoded(_taken(array.values, _run_indices(array, limit_bytes), limit_bytes), limit_bytes)
    return array


def check_text(array: pa.Array, limit_bytes: int) -> None:
    """Check that the values of a text or binary array fit into one plain array.

    Raises:
        TooLargeError: they take more than ``limit_bytes`` or 2 GiB.
    """
    if (size := _text_bytes(array)) > min(limit_bytes, MAX_OFFSET):
        raise TooLargeError(f"the values take {size} bytes")


def _text_bytes(array: pa.Array) -> int:
    """Return how many bytes the values of a text or binary array of any encoding take, nulls left out."""
    kind = array.type
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        # A view is 16 bytes; its length comes first. Views may overlap, so the buffers' sizes say nothing.
        views = np.frombuffer(array.buffers()[1] or b"", dtype="<i4")[::4]
        lengths = views[array.offset : array.offset + len(array)]
        return int(lengths[array.is_valid().to_numpy(zero_copy_only=False)].sum(dtype=np.int64))
    return int(pc.sum(pc.binary_length(array).cast(pa.int64())).as_py() or 0)


def is_text(kind: pa.DataType) -> bool:
    """Say whether a type holds text or bytes, in any of Arrow's encodings."""
    tests = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
        pa.types.is_fixed_size_binary,
    )
    return any(test(kind) for test in tests)


def fixed_bytes(kind: pa.DataType) -> int:
    """Return how many bytes one value takes at least, and never less than one."""
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * fixed_bytes(kind.value_type)
    if pa.types.is_struct(kind):
        return sum(fixed_bytes(field.type) for field in kind)
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:
        return 4


def list_parts(array: pa.Array, element_bytes: int, limit_bytes: int) -> tuple[pa.Array, pa.Array]:
    """Return (int32 offsets, elements) of any kind of list; the offsets begin at 0 and null lists are empty.

    Raises:
        TooLargeError: the elements, of at least ``element_bytes`` each, would take more than ``limit_bytes``.
    """
    offsets = _offsets(pc.list_value_length(array))
    elements = int(offsets[-1])
    if elements > MAX_OFFSET or elements * element_bytes > limit_bytes:
        raise TooLargeError(f"the lists of one batch hold {elements} elements")
    return pa.array(offsets.astype(np.int32)), array.flatten()


def map_parts(array: pa.Array, entry_bytes: int, limit_bytes: int) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Return (int32 offsets, keys, items) of a map, as :func:`list_parts` does for a list of its entries."""
    key, item = array.type.key_field, array.type.item_field
    offsets, entries = list_parts(array.cast(pa.list_(pa.struct([key, item]))), entry_bytes, limit_bytes)
    keys, items = entries.flatten()
    return offsets, keys, items


def _offsets(lengths: pa.Array) -> np.ndarray:
    counts = lengths.fill_null(0).to_numpy(zero_copy_only=False)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])


def _taken(values: pa.Array, indices: pa.Array, limit_bytes: int) -> pa.Array:
    values = _laid_out(decoded(values, limit_bytes), limit_bytes)
    if is_text(values.type) and not pa.types.is_fixed_size_binary(values.type):
        size = _taken_text_bytes(values, indices)
    elif len(values):
        size = len(indices) * max(fixed_bytes(values.type), values.nbytes // len(values))
    else:
        size = 0
    if size > limit_bytes:
        raise TooLargeError(f"the decoded values take {size} bytes")
    return values.take(indices)


def _laid_out(values: pa.Array, limit_bytes: int) -> pa.Array:
    """Return views as plain text or bytes: Arrow takes nothing from views."""
    is_view = pa.types.is_string_view(values.type) or pa.types.is_binary_view(values.type)
    if not is_view:
        return values
    check_text(values, limit_bytes)
    return values.cast(pa.string() if pa.types.is_string_view(values.type) else pa.binary())


def _taken_text_bytes(values: pa.Array, indices: pa.Array) -> int:
    lengths = pc.binary_length(values).cast(pa.int64())
    return int(pc.sum(lengths.take(indices)).as_py() or 0)


def _run_indices(array: pa.Array, limit_bytes: int) -> pa.Array:
    """Return for each row the position of its value among the run-end encoded array's values."""
    if len(array) > limit_bytes:
        raise TooLargeError(f"the runs stand for {len(array)} values")
    first, runs = array.find_physical_offset(), array.find_physical_length()
    ends = array.run_ends.to_numpy()[first : first + runs].astype(np.int64) - array.offset
    lengths = np.diff(np.minimum(ends, len(array)), prepend=0)
    return pa.array(np.repeat(np.arange(first, first + runs), lengths))
