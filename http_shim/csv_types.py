"""From the text of CSV values to typed columns, exactly or not at all.

Arrow's own conversion is lenient where we must not be: it reads "01234" and "0x4D2" as 1234. An *inferred* type takes only
values whose text says nothing more than the value does; a *declared* type (that of a dataset) takes what Arrow takes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

_BOOLEAN_CHARACTERS = len("true")
_TIMESTAMP_CHARACTERS = len("2000-01-01 00:00")
_EXACT_CHARACTERS = 15
"""Decimal digits that a double always keeps."""
_NOT_A_NUMBERS_OWN_TEXT = r"^\+|^-?0[0-9]|^-0$"


class MisfitError(Exception):
    """A value that is not of the column's type.

    Args:
        index: its position in the array.
        value: its text.
    """

    def __init__(self, index: int, value: str) -> None:
        super().__init__(value)
        self.index = index
        self.value = value


@dataclass(frozen=True, slots=True)
class InferredType:
    """A type that inference may choose.

    Attributes:
        name: SQL's name.
        arrow_type: what the values become.
        refuses: marks the values that Arrow would take and we do not; None if there are none.
    """

    name: str
    arrow_type: pa.DataType
    refuses: Callable[[pa.StringArray], pa.BooleanArray] | None = None


def _shorter_than(characters: int) -> Callable[[pa.StringArray], pa.BooleanArray]:
    return lambda texts: pc.less(pc.binary_length(texts), characters)


def _not_an_integers_own_text(texts: pa.StringArray) -> pa.BooleanArray:
    zero_and_more = pc.and_(pc.starts_with(texts, "0"), pc.greater(pc.binary_length(texts), 1))
    return pc.or_(zero_and_more, pc.starts_with(texts, "-0"))


def _not_a_numbers_own_text(texts: pa.StringArray) -> pa.BooleanArray:
    suspects = pc.or_(
        pc.or_(
            pc.and_not(pc.starts_with(texts, "0"), pc.starts_with(texts, "0.")),
            pc.and_not(pc.starts_with(texts, "-0"), pc.starts_with(texts, "-0.")),
        ),
        pc.starts_with(texts, "+"),
    )
    if pc.any(suspects).as_py():  # hardly ever: the pattern is ten times slower
        suspects = pc.match_substring_regex(texts, _NOT_A_NUMBERS_OWN_TEXT)
    return pc.or_(suspects, _says_more_than_a_double(texts))


def _says_more_than_a_double(texts: pa.StringArray) -> pa.BooleanArray:
    """Mark the texts of numbers that a double does not keep: too many digits, or too large an exponent."""
    can_differ = pc.or_(
        pc.greater(pc.binary_length(texts), _EXACT_CHARACTERS), pc.match_substring(texts, "e", ignore_case=True)
    )
    positions = pc.indices_nonzero(pc.fill_null(can_differ, False))
    suspects = texts.take(positions)
    try:
        kept = suspects.cast(pa.float64()).cast(pa.string())
    except pa.ArrowInvalid:
        return _none_of(texts)  # not all of them are numbers, which is another matter
    other_text = pc.indices_nonzero(pc.not_equal(suspects, kept)).to_pylist()
    lost = [at for at in other_text if Decimal(suspects[at].as_py()) != Decimal(kept[at].as_py())]
    if not lost:
        return _none_of(texts)
    return pc.is_in(pa.array(range(len(texts)), positions.type), positions.take(pa.array(lost)))


def _none_of(texts: pa.StringArray) -> pa.BooleanArray:
    return pc.is_in(texts, pa.array([], pa.string()))


TEXT = InferredType("text", pa.string())
CANDIDATES = (
    InferredType("bigint", pa.int64(), _not_an_integers_own_text),
    InferredType("double", pa.float64(), _not_a_numbers_own_text),
    InferredType("boolean", pa.bool_(), _shorter_than(_BOOLEAN_CHARACTERS)),
    InferredType("date", pa.date32()),
    InferredType("timestamp", pa.timestamp("us"), _shorter_than(_TIMESTAMP_CHARACTERS)),
    InferredType("timestamp with time zone", pa.timestamp("us", tz="UTC"), _shorter_than(_TIMESTAMP_CHARACTERS)),
)
"""What inference tries, in this order; the first that takes every value of the sample wins."""


def convert_inferred(texts: pa.StringArray, inferred: InferredType) -> pa.Array:
    """Return the values of these texts; null stays null.

    Raises:
        MisfitError: one of them is not of the type.
    """
    if inferred is TEXT:
        return texts
    if inferred.refuses is not None:
        index = pc.index(inferred.refuses(texts), value=True).as_py()
        if index >= 0:
            raise MisfitError(index, texts[index].as_py())
    return _cast(texts, inferred.arrow_type)


def convert_declared(texts: pa.StringArray, arrow_type: pa.DataType) -> pa.Array:
    """Return the values of these texts in the type of a dataset's column; spaces around a value do not count.

    Raises:
        MisfitError: one of them is not of the type.
        NotImplementedError: CSV has no form for the type.
    """
    try:
        return _cast(texts, arrow_type)
    except MisfitError:
        return _cast(pc.utf8_trim_whitespace(texts), arrow_type)


def _cast(texts: pa.StringArray, arrow_type: pa.DataType) -> pa.Array:
    if pa.types.is_nested(arrow_type) or pa.types.is_interval(arrow_type) or pa.types.is_duration(arrow_type):
        raise NotImplementedError(str(arrow_type))
    try:
        return _plain_cast(texts, arrow_type)
    except pa.ArrowInvalid:
        index = _first_failure(texts, arrow_type)
        raise MisfitError(index, texts[index].as_py()) from None


def _plain_cast(texts: pa.StringArray, arrow_type: pa.DataType) -> pa.Array:
    if pa.types.is_time(arrow_type):  # Arrow casts no text to a time of day, but a moment
        unit = "ns" if arrow_type.unit == "ns" else "us"
        moments = pc.binary_join_element_wise("1970-01-01", texts, " ").cast(pa.timestamp(unit))
        return moments.cast(pa.time64(unit)).cast(arrow_type)
    return texts.cast(arrow_type)


def _first_failure(texts: pa.StringArray, arrow_type: pa.DataType) -> int:
    """Return the position of the first text that does not convert, by halving."""
    start, stop = 0, len(texts)
    while stop - start > 1:
        middle = (start + stop) // 2
        try:
            _plain_cast(texts[start:middle], arrow_type)
        except pa.ArrowInvalid:
            stop = middle
        else:
            start = middle
    return start
