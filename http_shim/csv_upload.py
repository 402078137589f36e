"""CSV files into datasets: types from the dataset, or inferred and put right when the file contradicts them.

An upload is begun on the word of the sample. When a later value contradicts it, the upload is abandoned (nothing was
committed), the rest of the file is checked in the same pass, and the upload starts again with those columns as text.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from http import HTTPStatus

import pyarrow as pa

from clients import IngestResult

from .csv_inference import InferredColumn, infer_columns, shown
from .csv_reading import CsvFile
from .csv_types import TEXT, MisfitError, convert_declared, convert_inferred
from .errors import HttpProblem

_LOG = logging.getLogger(__name__)

Ingest = Callable[[pa.RecordBatchReader], IngestResult]
"""Uploads all rows of a reader; if the reader raises, nothing is committed and the exception comes through."""


class ContradictionError(Exception):
    """Later rows contradict the types that were inferred; the columns are what they should be."""

    def __init__(self, columns: list[InferredColumn]) -> None:
        super().__init__("the sample was wrong")
        self.columns = columns


def upload_inferred(csv_file: CsvFile, sample_rows: int, ingest: Ingest) -> tuple[IngestResult, list[InferredColumn]]:
    """Upload the file with inferred types; return the answer and the columns."""
    rows = csv_file.first_rows
    lines = cache(lambda: csv_file.lines_of_rows(range(1, (rows.num_rows if rows else 0) + 1)))
    columns = infer_columns(csv_file.names, rows, sample_rows, lambda row: lines()[row])
    while True:
        try:
            result = ingest(_inferred_reader(csv_file, columns, sample_rows))
        except ContradictionError as contradiction:
            columns = contradiction.columns
        else:
            return result, columns


def upload_declared(csv_file: CsvFile, schema: pa.Schema, ingest: Ingest) -> IngestResult:
    """Upload the file with the types of a dataset; columns that it does not have are sent as text, for it to refuse.

    Raises:
        HttpProblem: 400 ``csv_value_mismatch`` with the line of a value that is not of its column's type.
    """
    by_name = {field.name.lower(): field.type for field in schema} | {field.name: field.type for field in schema}
    fields = [pa.field(name, by_name.get(name, by_name.get(name.lower(), pa.string()))) for name in csv_file.names]
    return ingest(_declared_reader(csv_file, pa.schema(fields)))


def _inferred_reader(csv_file: CsvFile, columns: list[InferredColumn], sample_rows: int) -> pa.RecordBatchReader:
    schema = pa.schema([pa.field(column.name, column.type.arrow_type) for column in columns])

    def batches() -> Iterator[pa.RecordBatch]:
        found = list(columns)
        misfits: dict[int, tuple[int, str]] = {}
        rows_before = 0
        for texts in csv_file.rows():
            arrays = []
            for position, values in enumerate(texts.columns):
                try:
                    arrays.append(convert_inferred(values, found[position].type))
                except MisfitError as misfit:
                    misfits[position] = rows_before + misfit.index + 1, misfit.value
                    found[position] = replace(found[position], type=TEXT)
            if not misfits:
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)
            rows_before += texts.num_rows
        if misfits:
            lines = csv_file.lines_of_rows({row for row, _ in misfits.values()})
            for position, (row, value) in misfits.items():
                found[position] = columns[position].contradicted(lines[row], value, sample_rows)
                _LOG.info("CSV column %r becomes text: %s", found[position].name, found[position].why)
            raise ContradictionError(found)

    return pa.RecordBatchReader.from_batches(schema, batches())


def _declared_reader(csv_file: CsvFile, schema: pa.Schema) -> pa.RecordBatchReader:
    def batches() -> Iterator[pa.RecordBatch]:
        rows_before = 0
        for texts in csv_file.rows():
            arrays = []
            for field, values in zip(schema, texts.columns, strict=True):
                try:
                    arrays.append(convert_declared(values, field.type))
                except MisfitError as misfit:
                    raise _mismatch(csv_file, field, rows_before + misfit.index + 1, misfit.value) from None
                except NotImplementedError:
                    raise HttpProblem(
                        HTTPStatus.BAD_REQUEST,
                        "csv_type_unsupported",
                        f"column {field.name!r} is {field.type}, for which CSV has no form; send Arrow or Parquet",
                    ) from None
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)
            rows_before += texts.num_rows

    return pa.RecordBatchReader.from_batches(schema, batches())


def _mismatch(csv_file: CsvFile, field: pa.Field, row: int, value: str) -> HttpProblem:
    line = csv_file.lines_of_rows({row})[row]
    detail = f"line {line}: {shown(value)} in column {field.name!r} is no {field.type}"
    return HttpProblem(HTTPStatus.BAD_REQUEST, "csv_value_mismatch", detail, line=line, column=field.name)
