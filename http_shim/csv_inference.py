"""Which types the columns of a CSV file have, judged by its first rows.

What is ambiguous is text: a column without values in the sample, one whose values are of several types, numbers that begin
with a zero. So is, later, a column whose further values contradict the sample. Each of these says why.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from .csv_types import CANDIDATES, TEXT, InferredType, MisfitError, convert_inferred

_REASON_VALUES = 50
"""How many distinct values of the sample are looked at to say why a column is text."""

_SHOWN_CHARACTERS = 40
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

LineOf = Callable[[int], int]
"""Finds the line of the file in which a row (from 1, without the header) begins."""


@dataclass(frozen=True, slots=True)
class InferredColumn:
    """A column, its type, and why it is text if one might have expected something else."""

    name: str
    type: InferredType
    why: str | None = None

    def contradicted(self, line: int, value: str, sample_rows: int) -> "InferredColumn":
        """Return the column as text, because of the value in this line of the file."""
        name = self.name if _PLAIN_NAME.fullmatch(self.name) else '"' + self.name.replace('"', '""') + '"'
        why = (
            f"its first {sample_rows} rows are {self.type.name}, but line {line} is {shown(value)}. "
            f"Use TRY_CAST({name} AS {self.type.name.upper()}), "
            "or correct the file and ingest it again with mode=overwrite."
        )
        return replace(self, type=TEXT, why=why)


def infer_columns(
    names: list[str], rows: pa.RecordBatch | None, sample_rows: int, line_of: LineOf
) -> list[InferredColumn]:
    """Infer the type of every column from the first rows; all that ``rows`` has are checked against the outcome."""
    if rows is None:
        return [InferredColumn(name, TEXT, "the file has no rows") for name in names]
    columns = []
    for name, texts in zip(names, rows.columns, strict=True):
        column = _infer(name, texts.slice(0, sample_rows), line_of)
        try:
            convert_inferred(texts, column.type)
        except MisfitError as misfit:
            line = line_of(misfit.index + 1)
            column = column.contradicted(line, misfit.value, min(sample_rows, rows.num_rows))
        columns.append(column)
    return columns


def shown(value: str) -> str:
    """Return a value for a message: quoted, and not long."""
    return repr(value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + "…")


def _infer(name: str, sample: pa.StringArray, line_of: LineOf) -> InferredColumn:
    values = sample.drop_null()
    if len(values) == 0:
        return InferredColumn(name, TEXT, f"it has no value in the first {len(sample)} rows")
    found = next((one for one in CANDIDATES if _takes(one, values)), None)
    return InferredColumn(name, found) if found else InferredColumn(name, TEXT, _why_text(sample, line_of))


def _takes(candidate: InferredType, values: pa.StringArray) -> bool:
    try:
        converted = convert_inferred(values, candidate)
    except MisfitError:
        return False
    # "nan" and "inf" may be numbers, but not when there is no other number beside them.
    return not pa.types.is_floating(converted.type) or bool(pc.any(pc.is_finite(converted)).as_py())


def _why_text(sample: pa.StringArray, line_of: LineOf) -> str | None:
    """Return why a column is ambiguous, or None if it is plainly text."""
    distinct = pc.unique(sample.drop_null())[:_REASON_VALUES]
    for value in distinct.to_pylist():
        single = pa.array([value], pa.string())
        for candidate in CANDIDATES:
            if _takes(candidate, single):
                line = line_of(_row_of(sample, value))
                return f"line {line} is {candidate.name}, but {_other(sample, candidate, line_of)}"
    if bool(pc.all(pc.match_substring_regex(distinct, "^-?[0-9]+$")).as_py()):
        line = line_of(_row_of(sample, distinct[0].as_py()))
        return f"line {line} is {shown(distinct[0].as_py())}: the zeros before a number, or its length, would be lost"
    return None


def _other(sample: pa.StringArray, candidate: InferredType, line_of: LineOf) -> str:
    try:
        convert_inferred(sample, candidate)
    except MisfitError as misfit:
        return f"line {line_of(misfit.index + 1)} is {shown(misfit.value)}"
    return "no other row has a number"


def _row_of(sample: pa.StringArray, value: str) -> int:
    return int(pc.index(sample, value=value).as_py()) + 1
