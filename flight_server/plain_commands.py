"""Commands for people without a Flight SQL driver: SQL text, or one JSON object, as the command of a descriptor.

SELECT …                                                           a query
{"sql": …, "params"?, "format"?, "snapshot"?, "read_only"?}        a query with its details
{"dataset": …, "mode"?, "idempotency_key"?, "producer_id"?, "sequence"?, "explicit_commit"?}     an upload
"""

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from catalog import ErrorKind, LakehouseError

Scalar = None | bool | int | float | str

MODES = ("create", "append", "overwrite", "create_append")
"""What an upload does with its dataset; the last one is the default."""

_MAX_KEY_CHARACTERS = 255
_INT64 = range(-(1 << 63), 1 << 63)
_DECIMAL38 = 10**38
_BINARY = re.compile(r"[\x00-\x08\x0e-\x1f]")


@dataclass(frozen=True, slots=True)
class PlainQuery:
    """Run SQL.

    Attributes:
        parameters: values for the placeholders by position.
        format: text format that the rows are encoded to by the engine, or None for Arrow.
        snapshot: version to read, by lake.
        read_only: refuse statements that change anything.
    """

    sql: str
    parameters: tuple[Scalar, ...] | None = None
    format: str | None = None
    snapshot: Mapping[str, int] = field(default_factory=dict)
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class PlainPut:
    """Write the rows of a stream to a dataset, named as ``name``, ``schema.name`` or ``lake.schema.name``."""

    dataset: str
    mode: str = "create_append"
    idempotency_key: str | None = None
    producer_id: str | None = None
    sequence: int | None = None
    explicit_commit: bool = False


def invalid(message: str, code: str = "malformed_command") -> LakehouseError:
    """Make an INVALID_ARGUMENT error."""
    return LakehouseError(ErrorKind.INVALID_ARGUMENT, code, message)


def decode_plain_command(data: bytes) -> PlainQuery | PlainPut:
    """Decode SQL text or a JSON object. Raises LakehouseError (``malformed_command``, ``unknown_field``)."""
    text = _text(data)
    if not text.strip():
        raise invalid("The command is empty.")
    if not text.lstrip().startswith("{"):
        return PlainQuery(text)
    document = decode_json(text)
    if "sql" in document:
        return _query(document)
    if "dataset" in document:
        return _put(document)
    raise invalid('A JSON command needs "sql" (a query) or "dataset" (an upload).')


def decode_json(data: str | bytes) -> dict[str, Any]:
    """Decode one JSON object; an empty body is an empty object. Raises LakehouseError (``malformed_command``)."""
    text = data if isinstance(data, str) else _text(data)
    if not text.strip():
        return {}
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
        if "\\u" in text:
            json.dumps(document, ensure_ascii=False).encode()  # fails on half a surrogate pair
    except (ValueError, RecursionError) as error:
        raise invalid(f"The command is no valid JSON: {error}.") from None
    if not isinstance(document, dict):
        raise invalid("The command must be a JSON object.")
    return document


def check_fields(document: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse fields that are not known, naming the nearest one. Raises LakehouseError (``unknown_field``)."""
    names = list(known)
    for name in document:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}."
            raise invalid(f"There is no field {name[:100]!r}; {hint}", "unknown_field")


def text_field(document: Mapping[str, Any], name: str, *, limit: int | None = None) -> str | None:
    """Return a field that must be a text of 1 to ``limit`` characters, or None if it is absent or null."""
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value or (limit is not None and len(value) > limit):
        raise invalid(f'"{name}" must be a text' + (f" of 1 to {limit} characters." if limit else "."))
    return value


def flag_field(document: Mapping[str, Any], name: str) -> bool:
    """Return a field that must be true or false; False if it is absent or null."""
    value = document.get(name)
    if value is not None and not isinstance(value, bool):
        raise invalid(f'"{name}" must be true or false.')
    return bool(value)


def parameters_batch(parameters: Iterable[Scalar]) -> pa.RecordBatch:
    """Return JSON scalars as one row with columns named "0", "1", …, as drivers send their parameters."""
    arrays = [_parameter(value, position) for position, value in enumerate(parameters)]
    return pa.RecordBatch.from_arrays(arrays, names=[str(position) for position in range(len(arrays))])


def _parameter(value: Scalar, position: int) -> pa.Array:
    if isinstance(value, int) and not isinstance(value, bool) and value not in _INT64:
        if abs(value) >= _DECIMAL38:
            raise invalid(f"Parameter {position + 1} is an integer of more than 38 digits.")
        return pa.array([value], pa.decimal128(38, 0))
    return pa.array([value])


def _text(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise invalid("The command is neither a Flight SQL message nor UTF-8 text.") from None
    if _BINARY.search(text):
        raise invalid("The command is neither a Flight SQL message nor readable text.")
    return text


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not allowed")


def _query(document: Mapping[str, Any]) -> PlainQuery:
    check_fields(document, ("sql", "params", "format", "snapshot", "read_only"))
    return PlainQuery(
        sql=_required(document, "sql", text_field),
        parameters=_parameters(document.get("params")),
        format=text_field(document, "format", limit=32),
        snapshot=_snapshot(document.get("snapshot")),
        read_only=flag_field(document, "read_only"),
    )


def _required(document: Mapping[str, Any], name: str, read: Callable[[Mapping[str, Any], str], str | None]) -> str:
    value = read(document, name)
    if value is None:
        raise invalid(f'"{name}" must be a text.')
    return value


def _parameters(value: Any) -> tuple[Scalar, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, Scalar) for item in value):
        raise invalid('"params" must be a list of texts, numbers, true, false or null.')
    return tuple(value)


def _snapshot(value: Any) -> dict[str, int]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(_is_version(version) for version in value.values()):
        raise invalid('"snapshot" must be an object of versions by lake, such as {"lake": 12}.')
    return value


def _is_version(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value in _INT64


def _put(document: Mapping[str, Any]) -> PlainPut:
    check_fields(document, ("dataset", "mode", "idempotency_key", "producer_id", "sequence", "explicit_commit"))
    sequence = document.get("sequence")
    if sequence is not None and not _is_version(sequence):
        raise invalid('"sequence" must be an integer from 0 on.')
    return check_put(
        PlainPut(
            dataset=_required(document, "dataset", text_field),
            mode=text_field(document, "mode") or "create_append",
            idempotency_key=text_field(document, "idempotency_key", limit=_MAX_KEY_CHARACTERS),
            producer_id=text_field(document, "producer_id", limit=_MAX_KEY_CHARACTERS),
            sequence=sequence,
            explicit_commit=flag_field(document, "explicit_commit"),
        )
    )


def check_put(put: PlainPut) -> PlainPut:
    """Return an upload, from JSON or from headers, whose fields make sense together. Raises LakehouseError."""
    if put.mode not in MODES:
        raise invalid(f"There is no mode {put.mode[:100]!r}; known are {', '.join(MODES)}.")
    if (put.producer_id is None) != (put.sequence is None):
        raise invalid('"producer_id" and "sequence" go together.')
    if put.idempotency_key is not None:
        if put.producer_id is not None:
            raise invalid("An upload has an idempotency key or a producer's sequence, not both.")
        if not 1 <= len(put.idempotency_key) <= _MAX_KEY_CHARACTERS:
            raise invalid(f"An idempotency key has 1 to {_MAX_KEY_CHARACTERS} characters.")
    return put
