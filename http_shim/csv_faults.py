"""Where in a CSV file something is wrong, as a line number.

Arrow's parallel reader does not know line numbers. They are found by reading the file once more, slowly, and only when an
upload is refused.
"""

import codecs
import csv
from collections.abc import Callable, Collection, Iterator
from typing import BinaryIO

_CHUNK_BYTES = 1 << 20
_MAX_FIELD_CHARACTERS = (1 << 31) - 1


class _LongLineError(Exception):
    """A line is longer than a row may be."""


class CsvFaults:
    """Finds lines in one CSV file. Every method reads it from the beginning, and returns None if it finds nothing."""

    def __init__(self, open_file: Callable[[], BinaryIO], delimiter: str, max_row_bytes: int) -> None:
        self._open = open_file
        self._delimiter = delimiter
        self._max_row_bytes = max_row_bytes
        self.one_column = False
        csv.field_size_limit(_MAX_FIELD_CHARACTERS)

    def header(self) -> list[str]:
        """Return the fields of the first record."""
        return next((fields for _, fields in self._records()), [])

    def lines_of_records(self, numbers: Collection[int]) -> dict[int, int]:
        """Return the lines in which the records with these numbers (from 1, the header is one) begin.

        A record that is not found, because it is taken for a part of another, has the line of its number.
        """
        lines = {number: number for number in numbers}
        try:
            for number, (line, _) in zip(range(1, max(numbers, default=0) + 1), self._records(), strict=False):
                if number in lines:
                    lines[number] = line
        except (_LongLineError, csv.Error):
            pass
        return lines

    def line_of_ragged_row(self, columns: int) -> int | None:
        """Return the line of the first record that does not have this many fields."""
        return next((line for line, fields in self._records() if len(fields) != columns), None)

    def line_of_bad_utf8(self) -> int | None:
        """Return the line of the first byte that is not UTF-8."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        line = 1
        file = self._open()
        while chunk := file.read(_CHUNK_BYTES):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                return line + chunk.count(b"\n", 0, max(0, error.start))
            line += chunk.count(b"\n")
        return line

    def line_of_long_record(self) -> int | None:
        """Return the line in which the first record that is too long begins."""
        reader = csv.reader(self._lines(), delimiter=self._delimiter)
        before = 0
        try:
            for fields in reader:
                if sum(map(len, fields)) > self._max_row_bytes:
                    break
                before = reader.line_num
        except (_LongLineError, csv.Error):
            pass
        return before + 1

    def line_of_unclosed_quote(self) -> int | None:
        """Return the line of the last record if the file ends inside one of its quotes."""
        reader = csv.reader(self._lines(), delimiter=self._delimiter, strict=True)
        before = 0
        try:
            for _ in reader:
                before = reader.line_num
        except csv.Error as error:
            return before + 1 if "unexpected end of data" in str(error) else None
        return None

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (line, fields) of every record; empty lines are records in a file of one column only."""
        reader = csv.reader(self._lines(), delimiter=self._delimiter)
        before = 0
        for fields in reader:
            if fields or self.one_column:
                yield before + 1, fields
            before = reader.line_num

    def _lines(self) -> Iterator[str]:
        """Yield the lines with their ends, one character per byte, so that any bytes will do."""
        file = self._open()
        rest = b""
        while chunk := file.read(_CHUNK_BYTES):
            lines = (rest + chunk).splitlines(keepends=True)
            rest = lines.pop()
            for line in lines:
                yield line.decode("latin-1")
            if len(rest) > self._max_row_bytes:
                raise _LongLineError
        if rest:
            yield rest.decode("latin-1")
