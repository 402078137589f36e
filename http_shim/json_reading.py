"""NDJSON files as record batches.

Types come from the first block of the file, or from the dataset. JSON's texts stay text (a dataset that wants them as
timestamps declares so), and what has no value at all is text. When a later block has new fields or other numbers, the
file is read once to the end for its types, and then once more for its rows.
"""

import io
import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import BinaryIO

import pyarrow as pa
import pyarrow.json as pa_json

from clients import IngestResult

from .errors import HttpProblem

_ROW = re.compile(r"\s*in row (\d+)")


class _TypesTooNarrowError(Exception):
    """The rows do not all have the types that were expected."""


class NdjsonFile:
    """A file of one JSON object per line.

    Args:
        open_file: opens the decoded bytes from the beginning; called once per pass.
        block_bytes: how much is parsed at a time; also the longest line.
    """

    def __init__(self, open_file: Callable[[], BinaryIO], *, block_bytes: int) -> None:
        self._open = open_file
        self._block_bytes = block_bytes

    def upload(
        self, declared: pa.Schema | None, ingest: Callable[[pa.RecordBatchReader], IngestResult]
    ) -> IngestResult:
        """Upload all rows, with the types of a dataset if there is one.

        Raises:
            HttpProblem: 400 with the line, for what is no JSON object or does not have the type of its column.
        """
        if declared is not None:
            plain = pa.schema([pa.field(field.name, field.type) for field in declared])
            wanted = self._schema(plain, blocks=1)
        else:
            wanted = self._schema(None, blocks=1)
        try:
            return ingest(self._reader(wanted))
        except _TypesTooNarrowError:
            wanted = self._schema(plain if declared is not None else None, blocks=None)
            try:
                return ingest(self._reader(wanted))
            except _TypesTooNarrowError as error:
                raise _problem("json_malformed", str(error)) from None

    def _reader(self, schema: pa.Schema) -> pa.RecordBatchReader:
        def batches() -> Iterator[pa.RecordBatch]:
            try:
                yield from pa_json.open_json(
                    pa.PythonFile(self._open(), mode="r"),
                    pa_json.ReadOptions(block_size=self._block_bytes),
                    pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
                )
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise _TypesTooNarrowError(str(error)) from None

        return pa.RecordBatchReader.from_batches(schema, batches())

    def _schema(self, declared: pa.Schema | None, blocks: int | None) -> pa.Schema:
        """Return the schema of the first blocks, or of all."""
        found: pa.Schema | None = None
        line = 1
        for number, block in enumerate(self._blocks()):
            if number == blocks:
                break
            schema = _block_schema(block, declared, line)
            try:
                found = schema if found is None else pa.unify_schemas([found, schema], promote_options="permissive")
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                raise _problem("json_type_conflict", f"from here on: {str(error).splitlines()[0]}", line) from None
            line += block.count(b"\n")
        if found is None or len(found) == 0:
            raise _problem("json_empty", "the file has no JSON object")
        return pa.schema([pa.field(field.name, _or_text(field.type)) for field in found])

    def _blocks(self) -> Iterator[bytes]:
        """Yield the file in pieces of whole lines."""
        file = self._open()
        rest = b""
        while chunk := file.read(self._block_bytes):
            cut = chunk.rfind(b"\n") + 1
            if cut == 0:
                rest += chunk
                if len(rest) > self._block_bytes:
                    raise _problem("json_line_too_long", f"a line has at most {self._block_bytes} bytes")
                continue
            yield rest + chunk[:cut]
            rest = chunk[cut:]
        if rest.strip():
            yield rest


def _block_schema(block: bytes, declared: pa.Schema | None, first_line: int) -> pa.Schema:
    if not block.strip():
        return pa.schema([])
    try:
        table = pa_json.read_json(
            io.BytesIO(block),
            pa_json.ReadOptions(block_size=len(block) + 1, use_threads=False),
            pa_json.ParseOptions(explicit_schema=declared, unexpected_field_behavior="infer"),
        )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        text = str(error).removeprefix("JSON parse error: ").splitlines()[0]
        row = _ROW.search(text)
        line = None if row is None else first_line + _line_offset(block, int(row[1]))
        raise _problem("json_malformed", _ROW.sub("", text), line) from None
    names = set(declared.names) if declared is not None else set()
    return pa.schema(
        [field if field.name in names else pa.field(field.name, _texts_stay(field.type)) for field in table.schema]
    )


def _line_offset(block: bytes, row: int) -> int:
    """Return how many lines come before this row (from 0): empty lines are no rows."""
    seen = -1
    for offset, line in enumerate(block.splitlines()):
        seen += bool(line.strip())
        if seen == row:
            return offset
    return 0


def _texts_stay(arrow_type: pa.DataType) -> pa.DataType:
    """Return the type with text where Arrow's inference saw timestamps in JSON's texts."""
    if pa.types.is_timestamp(arrow_type):
        return pa.string()
    return _mapped(arrow_type, _texts_stay)


def _or_text(arrow_type: pa.DataType) -> pa.DataType:
    """Return the type with text where no value was seen."""
    if pa.types.is_null(arrow_type):
        return pa.string()
    return _mapped(arrow_type, _or_text)


def _mapped(arrow_type: pa.DataType, mapping: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    if pa.types.is_list(arrow_type):
        return pa.list_(mapping(arrow_type.value_type))
    if pa.types.is_struct(arrow_type):
        return pa.struct([pa.field(field.name, mapping(field.type)) for field in arrow_type])
    return arrow_type


def _problem(code: str, detail: str, line: int | None = None) -> HttpProblem:
    place = {} if line is None else {"line": line}
    where = "" if line is None else f"line {line}: "
    return HttpProblem(HTTPStatus.BAD_REQUEST, code, where + detail, **place)
