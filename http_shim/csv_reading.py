"""CSV files as batches of text columns.

Every value is read as text first and converted afterwards (`csv_types`): faster than Arrow's typed reading, and we decide
what a value may look like. An empty field is null, ``""`` is the empty string; empty lines do not count, except in a file
of one column, where they are nulls.
"""

import io
import re
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from http import HTTPStatus
from typing import BinaryIO
from urllib.parse import quote

import pyarrow as pa
import pyarrow.csv as pa_csv

from .csv_faults import CsvFaults
from .errors import HttpProblem

_LINE_ENDS = b"\r\n"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_OTHER_DELIMITERS = ";\t|"
_READ_BYTES = 1 << 20
_RAGGED = re.compile(r"Expected (\d+) columns, got (\d+)")


class CsvFile:
    """A CSV file with a header line.

    Args:
        open_file: opens the decoded bytes from the beginning; called once per pass.
        delimiter: one character.
        block_bytes: how much is parsed at a time; also the longest row.
        max_columns: how many columns the file may have.
    """

    def __init__(
        self, open_file: Callable[[], BinaryIO], *, delimiter: str, block_bytes: int, max_columns: int
    ) -> None:
        self._open = open_file
        self._delimiter = delimiter
        self._block_bytes = block_bytes
        self._max_columns = max_columns
        self._faults = CsvFaults(open_file, delimiter, block_bytes)
        self._one_column = False
        self._header, self.first_rows = self._read_start()
        self._faults.one_column = self._one_column = len(self._header) == 1
        if self._one_column:
            self._header, self.first_rows = self._read_start()
        self._check_header()

    @property
    def names(self) -> list[str]:
        """The names in the header."""
        return [name or "" for name in self._header]

    def rows(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows below the header as text columns, once around.

        Raises:
            HttpProblem: 400 with the line, for what is no CSV.
        """
        batches = self._batches()
        header_and_rows = next(batches)
        yield header_and_rows.slice(1)
        yield from batches

    @property
    def delimiter_doubt(self) -> str | None:
        """What to say of a header whose single name looks like several."""
        return _delimiter_doubt(self.names)

    def lines_of_rows(self, rows: Collection[int]) -> dict[int, int]:
        """Return the lines of the file in which these rows (from 1, without the header) begin."""
        lines = self._faults.lines_of_records({row + 1 for row in rows})
        return {number - 1: line for number, line in lines.items()}

    def _read_start(self) -> tuple[list[str | None], pa.RecordBatch | None]:
        """Return the header and the rows of the first block, or None if there are none at all."""
        batches = self._batches(reads_ahead=False)
        first = next(batches)
        rows = first.slice(1)
        if rows.num_rows == 0:
            rows = next(batches, None)
        batches.close()
        return [column[0].as_py() for column in first.columns], rows

    def _check_header(self) -> None:
        names = self._header
        if len(names) > self._max_columns:
            raise _problem("csv_too_many_columns", f"a file has at most {self._max_columns} columns", line=1)
        seen: set[str] = set()
        for position, name in enumerate(names, start=1):
            if not name:
                raise _problem("csv_unnamed_column", f"column {position} has no name in the header", line=1)
            if name.lower() in seen:
                raise _problem("csv_duplicate_column", f"the header names {name!r} twice", line=1)
            seen.add(name.lower())

    def _batches(self, *, reads_ahead: bool = True) -> Generator[pa.RecordBatch]:
        file = _CountedFile(self._open())
        try:
            reader = pa_csv.open_csv(
                pa.PythonFile(file, mode="r"),
                pa_csv.ReadOptions(
                    block_size=self._block_bytes, autogenerate_column_names=True, use_threads=reads_ahead
                ),
                pa_csv.ParseOptions(
                    delimiter=self._delimiter, newlines_in_values=True, ignore_empty_lines=not self._one_column
                ),
                _as_text(self._max_columns),
            )
            yield from reader
        except pa.ArrowInvalid as error:
            raise self._problem_of(str(error)) from None
        if file.quotes % 2:
            line = self._faults.line_of_unclosed_quote()
            if line is not None:
                raise _problem("csv_unclosed_quote", "a quote is opened and never closed", line=line)

    def _problem_of(self, text: str) -> HttpProblem:
        if "Empty CSV file" in text:
            return _problem("csv_empty", "the file is empty; a CSV file has at least a header line")
        if self._open().read(2) in _UTF16_MARKS:
            return _problem("csv_not_utf8", "the file is UTF-16; save it as UTF-8", line=1)
        if (match := _RAGGED.search(text)) is not None:
            line = self._faults.line_of_ragged_row(int(match[1]))
            detail = f"a row has {_counted(match[2], 'value')}, but the header has {_counted(match[1], 'column')}"
            doubt = _delimiter_doubt(self._faults.header())
            return _problem("csv_ragged_row", f"{detail}; {doubt}" if doubt else detail, line=line)
        if "invalid UTF8" in text:
            detail = "the file is not UTF-8 text; convert it, for example with: iconv -f WINDOWS-1252 -t UTF-8"
            return _problem("csv_not_utf8", detail, line=self._faults.line_of_bad_utf8())
        if "straddling" in text:
            detail = f"a row is longer than {self._block_bytes} bytes, or a quote in it is never closed"
            return _problem("csv_line_too_long", detail, line=self._faults.line_of_long_record())
        return _problem("csv_malformed", "the file is no CSV that we can read")


class _CountedFile(io.RawIOBase):
    """The file with a line end after its last line (Arrow overlooks a header without), and its quotes counted."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._last = b"\n"
        self.quotes = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(_READ_BYTES), b""))
        data = b""
        while len(data) < size - 1:
            piece = self._file.read(size - 1 - len(data))
            self._last = data[-1:] or self._last
            if not piece:
                data += b"" if self._last in _LINE_ENDS else b"\n"
                break
            data = data + piece if data else piece
        self._last = data[-1:] or self._last
        self.quotes += data.count(b'"')
        return data


def _as_text(max_columns: int) -> pa_csv.ConvertOptions:
    return pa_csv.ConvertOptions(
        column_types={f"f{position}": pa.string() for position in range(max_columns + 1)},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )


def _delimiter_doubt(header: Sequence[str]) -> str | None:
    held = [one for one in _OTHER_DELIMITERS if len(header) == 1 and one in header[0]]
    if not held:
        return None
    return f"the header has one column and holds {held[0]!r}: is that the delimiter? Say so with ?delimiter={quote(held[0])}."


def _counted(count: str, noun: str) -> str:
    return f"{count} {noun}" if count == "1" else f"{count} {noun}s"


def _problem(code: str, detail: str, line: int | None = None) -> HttpProblem:
    place = {} if line is None else {"line": line}
    where = "" if line is None else f"line {line}: "
    return HttpProblem(HTTPStatus.BAD_REQUEST, code, where + detail, **place)
