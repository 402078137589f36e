"""From DuckDB's exceptions to LakehouseError, with texts that give nothing of the server away."""

import logging
import re
from collections.abc import Sequence

from catalog import ErrorKind, LakehouseError

_LOG = logging.getLogger(__name__)
_MAX_CHARACTERS = 1500

INSERTED = "insert:"
"""What the names of columns begin with in the query that we make of an INSERT."""

_CAST_OF = re.compile(rf" when casting from source column (?:{INSERTED}(?P<inserted>[^\n]+)|c(?P<number>\d+))\s*$")

_KINDS: dict[str, tuple[ErrorKind, str]] = {
    "Parser": (ErrorKind.INVALID_ARGUMENT, "syntax_error"),
    "Syntax": (ErrorKind.INVALID_ARGUMENT, "syntax_error"),
    "Binder": (ErrorKind.INVALID_ARGUMENT, "binder_error"),
    "Catalog": (ErrorKind.INVALID_ARGUMENT, "binder_error"),
    "Conversion": (ErrorKind.INVALID_ARGUMENT, "conversion_error"),
    "Out of Range": (ErrorKind.INVALID_ARGUMENT, "value_out_of_range"),
    "Invalid Input": (ErrorKind.INVALID_ARGUMENT, "invalid_input"),
    "Invalid Type": (ErrorKind.INVALID_ARGUMENT, "invalid_input"),
    "Mismatch Type": (ErrorKind.INVALID_ARGUMENT, "invalid_input"),
    "Parameter Not Allowed": (ErrorKind.INVALID_ARGUMENT, "invalid_input"),
    "Parameter Not Resolved": (ErrorKind.INVALID_ARGUMENT, "parameter_type_unknown"),
    "Constraint": (ErrorKind.INVALID_ARGUMENT, "constraint_violated"),
    "Sequence": (ErrorKind.INVALID_ARGUMENT, "invalid_input"),
    "Expression": (ErrorKind.INVALID_ARGUMENT, "invalid_input"),
    "Not implemented": (ErrorKind.UNIMPLEMENTED, "not_implemented"),
    "Permission": (ErrorKind.PERMISSION_DENIED, "permission_denied"),
    "INTERRUPT": (ErrorKind.CANCELLED, "cancelled"),
    "Interrupt": (ErrorKind.CANCELLED, "cancelled"),
    "Out of Memory": (ErrorKind.RESOURCE_EXHAUSTED, "out_of_memory"),
    "IO": (ErrorKind.UNAVAILABLE, "read_failed"),
    "Serialization": (ErrorKind.INTERNAL, "engine_failed"),
    "INTERNAL": (ErrorKind.INTERNAL, "engine_failed"),
    "FATAL": (ErrorKind.INTERNAL, "engine_failed"),
}
"""Kind and code per class of DuckDB's errors. The class is read from the text: errors that surface while an Arrow
stream is read have no class of their own."""

_PREFIX = re.compile(r"^\s*(?:Invalid:\s*)?(?P<name>[A-Za-z][A-Za-z ]{0,30}?) Error:\s*")
_MISSING_TABLE = re.compile(r"Table with name .* does not exist|Catalog \".*\" does not exist|Schema with name .* does")
_OBJECT = re.compile(r"lake://[^\s\"']*")
_PATH = re.compile(r"(?<![\w/.])/(?:[\w.+-]+/)+[\w.+-]*")
_LINE = re.compile(r"^LINE (\d+):", re.MULTILINE)
_SUGGESTION = re.compile(r"\n(?:Did you mean|Candidate functions?:)[\s\S]*?(?=\n\nLINE |\Z)")
_CANDIDATES = re.compile(r"\n\tCandidate functions:(?:\n\t[^\n]*){5,}")
_LEAKS = ("Traceback", 'File "')


def translate(error: BaseException, *, wrapped: bool = False, names: Sequence[str] = ()) -> LakehouseError:
    """Return the LakehouseError that says what an exception of DuckDB says.

    Args:
        error: what DuckDB, or pyarrow while it read DuckDB's stream, raised.
        wrapped: the statement ran inside one of ours, one line below its beginning.
        names: of the statement's columns, which ours calls c0, c1 and so on.
    """
    if isinstance(error, LakehouseError):
        return error
    text = str(error)
    match = _PREFIX.match(text)
    if match is None or any(leak in text for leak in _LEAKS):
        return _internal(text)
    kind, code = _KINDS.get(match["name"], (ErrorKind.INTERNAL, "engine_failed"))
    if kind is ErrorKind.INTERNAL:
        return _internal(text)
    message = text[match.end() :]
    if _MISSING_TABLE.search(message):
        kind, code = ErrorKind.NOT_FOUND, "dataset_not_found"
        message = _SUGGESTION.sub("", message)
    return LakehouseError(kind, code, _clean(message, wrapped, names))


def _internal(text: str) -> LakehouseError:
    """Keep what is for us in the log, and say no more than that something went wrong."""
    _LOG.error("DuckDB failed: %s", text)
    return LakehouseError(ErrorKind.INTERNAL, "engine_failed", "The query engine failed on this statement.")


def is_fatal(error: BaseException) -> bool:
    """Whether the instance that raised an error must not be used again."""
    match = _PREFIX.match(str(error))
    return match is None or match["name"] in {"INTERNAL", "FATAL"}


def _clean(message: str, wrapped: bool, names: Sequence[str]) -> str:
    message = _OBJECT.sub("a data object", message)
    head, separator, hint = message.partition("\n\nLINE ")
    head = _CANDIDATES.sub("", _PATH.sub("(path)", head))
    if wrapped or INSERTED in head:
        head = _of_column(head, names)
    if not separator or f'"{INSERTED}' in hint:
        return head[:_MAX_CHARACTERS].rstrip()
    hint = "LINE " + hint
    line = _LINE.match(hint)
    if wrapped and line is not None:
        number = int(line[1]) - 1
        if number < 1:
            return head[:_MAX_CHARACTERS].rstrip()
        hint = _shift(hint, line[0], f"LINE {number}:")
    return f"{head[:_MAX_CHARACTERS].rstrip()}\n\n{hint[: _MAX_CHARACTERS // 2].rstrip()}"


def _of_column(head: str, names: Sequence[str]) -> str:
    """Name the column of a failed cast as the user knows it, and not as our own query around his does."""
    match = _CAST_OF.search(head)
    if match is None:
        return head
    name = match["inserted"]
    if name is None and int(match["number"]) < len(names):
        name = names[int(match["number"])]
    return head[: match.start()] if name is None else f"column {name}: {head[: match.start()]}"


def _shift(hint: str, old: str, new: str) -> str:
    """Renumber a hint and keep its caret under the right character."""
    first, _, rest = hint.partition("\n")
    shortened = len(old) - len(new)
    return f"{new}{first[len(old) :]}\n{rest[shortened:]}"
