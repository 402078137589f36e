"""Schemas in JSON: ``[{"name": "a", "type": "int64", "nullable": true}, …]``, types by Arrow's or SQL's names.

type       = (list | map | struct | decimal | timestamp | simple), then any number of "[]" or "[N]"
list       = "list<" [name ":"] type ">"  |  "fixed_size_list<" [name ":"] type ">[" N "]"
map        = "map<" type "," type ">"  |  "map(" type "," type ")"
struct     = "struct<" name ":" type, … ">"  |  "struct(" name type, … ")"
decimal    = ("decimal" | "decimal128" | "numeric") ["(" precision ["," scale] ")"]
timestamp  = "timestamp" ["[" unit ["," "tz=" zone] "]"]  |  "timestamp with time zone" | "timestamptz" | …
"""

import re
from http import HTTPStatus
from typing import Any

import pyarrow as pa

from .errors import HttpProblem

MAX_NESTING = 32

_UTC = pa.timestamp("us", tz="UTC")
_SIMPLE: dict[str, pa.DataType] = {
    "null": pa.null(),
    "bool": pa.bool_(),
    "boolean": pa.bool_(),
    "logical": pa.bool_(),
    "int8": pa.int8(),
    "tinyint": pa.int8(),
    "int16": pa.int16(),
    "smallint": pa.int16(),
    "int32": pa.int32(),
    "integer": pa.int32(),
    "int": pa.int32(),
    "int64": pa.int64(),
    "bigint": pa.int64(),
    "uint8": pa.uint8(),
    "utinyint": pa.uint8(),
    "uint16": pa.uint16(),
    "usmallint": pa.uint16(),
    "uint32": pa.uint32(),
    "uinteger": pa.uint32(),
    "uint64": pa.uint64(),
    "ubigint": pa.uint64(),
    "halffloat": pa.float16(),
    "float16": pa.float16(),
    "float": pa.float32(),
    "float32": pa.float32(),
    "real": pa.float32(),
    "double": pa.float64(),
    "double precision": pa.float64(),
    "float64": pa.float64(),
    "string": pa.string(),
    "utf8": pa.string(),
    "text": pa.string(),
    "varchar": pa.string(),
    "char": pa.string(),
    "large_string": pa.large_string(),
    "large_utf8": pa.large_string(),
    "string_view": pa.string_view(),
    "binary": pa.binary(),
    "blob": pa.binary(),
    "bytea": pa.binary(),
    "varbinary": pa.binary(),
    "large_binary": pa.large_binary(),
    "date": pa.date32(),
    "date32": pa.date32(),
    "date32[day]": pa.date32(),
    "date64": pa.date64(),
    "date64[ms]": pa.date64(),
    "time": pa.time64("us"),
    "time32[s]": pa.time32("s"),
    "time32[ms]": pa.time32("ms"),
    "time64[us]": pa.time64("us"),
    "time64[ns]": pa.time64("ns"),
    "timestamp": pa.timestamp("us"),
    "datetime": pa.timestamp("us"),
    "timestamp without time zone": pa.timestamp("us"),
    "timestamp with time zone": _UTC,
    "timestamptz": _UTC,
    "timestamp_s": pa.timestamp("s"),
    "timestamp_ms": pa.timestamp("ms"),
    "timestamp_ns": pa.timestamp("ns"),
    "interval": pa.month_day_nano_interval(),
    "month_day_nano_interval": pa.month_day_nano_interval(),
} | {f"duration[{unit}]": pa.duration(unit) for unit in ("s", "ms", "us", "ns")}
_LONGEST_FIRST = sorted(_SIMPLE, key=len, reverse=True)

_TIMESTAMP = re.compile(r"timestamp\[(s|ms|us|ns)(?:\s*,\s*tz=([^\]]+))?\]", re.IGNORECASE)
_DECIMAL = re.compile(
    r"(?:decimal(32|64|128|256)?|numeric)(?:\s*\(\s*(\d+)\s*(?:,\s*(-?\d+)\s*)?\))?(?![\w(])", re.IGNORECASE
)
_LENGTH = re.compile(r"(?:varchar|char|varbinary)\s*\(\s*\d+\s*\)", re.IGNORECASE)
_NAME = re.compile(r'"((?:[^"]|"")*)"|([\w$]+)')


def schema_from_json(fields: Any) -> pa.Schema:
    """Return the schema that a request describes.

    Raises:
        HttpProblem: 400 with the code ``invalid_schema``, naming the field.
    """
    if not isinstance(fields, list) or not fields:
        raise _invalid('"schema" is a list of fields: [{"name": "a", "type": "int64", "nullable": true}]')
    return pa.schema([_field(field, position) for position, field in enumerate(fields, start=1)])


def _field(field: Any, position: int) -> pa.Field:
    if not isinstance(field, dict) or not isinstance(field.get("name"), str) or not isinstance(field.get("type"), str):
        raise _invalid(f'field {position} needs a "name" and a "type", both text')
    unknown = field.keys() - {"name", "type", "nullable"}
    if unknown:
        raise _invalid(f"field {field['name']!r} has unknown members: {', '.join(sorted(unknown))}")
    nullable = field.get("nullable", True)
    if not isinstance(nullable, bool):
        raise _invalid(f'"nullable" of field {field["name"]!r} is true or false')
    return pa.field(field["name"], parse_type(field["type"]), nullable=nullable)


def parse_type(text: str) -> pa.DataType:
    """Return the Arrow type of this name.

    Raises:
        HttpProblem: 400 with the code ``invalid_schema``.
    """
    parser = _TypeParser(text)
    try:
        parsed = parser.type()
        parser.end()
    except (pa.ArrowInvalid, ValueError) as error:
        raise _invalid(f"no type goes by the name {text!r}: {error}") from None
    return parsed


class _TypeParser:
    """One pass over the text of a type, left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._depth = 0

    def type(self) -> pa.DataType:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise ValueError("it is nested too deeply")
        parsed = self._nested() or self._decimal() or self._timestamp() or self._simple()
        while self._take("["):
            length = self._match(re.compile(r"\d+"))
            parsed = pa.list_(parsed, int(length[0])) if length else pa.list_(parsed)
            self._expect("]")
        self._depth -= 1
        return parsed

    def end(self) -> None:
        if self._rest().strip():
            raise ValueError(f"{self._rest().strip()!r} is too much")

    def _nested(self) -> pa.DataType | None:
        if self._take("fixed_size_list<"):
            item = self._named_item()
            self._expect("[")
            length = self._match(re.compile(r"\d+"))
            self._expect("]")
            return pa.list_(item, int(length[0]) if length else -1)
        if self._take("large_list<"):
            return pa.large_list(self._named_item())
        if self._take("list<"):
            return pa.list_(self._named_item())
        for opening, closing in (("map<", ">"), ("map(", ")")):
            if self._take(opening):
                key = self.type()
                self._expect(",")
                value = self.type()
                self._expect(closing)
                return pa.map_(key, value)
        for opening, colon, closing in (("struct<", True, ">"), ("struct(", False, ")"), ("row(", False, ")")):
            if self._take(opening):
                return pa.struct(self._members(closing, colon=colon))
        return None

    def _members(self, closing: str, *, colon: bool) -> list[pa.Field]:
        members: list[pa.Field] = []
        while not members or self._take(","):
            name = self._name()
            if colon:
                self._expect(":")
            member = self.type()
            nullable = self._match(re.compile(r"not\s+null", re.IGNORECASE)) is None
            members.append(pa.field(name, member, nullable=nullable))
        self._expect(closing)
        return members

    def _named_item(self) -> pa.Field:
        start = self._position
        name = self._match(_NAME)
        if name is None or not self._take(":"):
            self._position = start
            name = None
        item = self.type()
        nullable = self._match(re.compile(r"not\s+null", re.IGNORECASE)) is None
        self._expect(">")
        return pa.field((name[1] or name[2]) if name else "item", item, nullable=nullable)

    def _decimal(self) -> pa.DataType | None:
        match = self._match(_DECIMAL)
        if match is None:
            return None
        bits, precision, scale = match.groups()
        build = {"32": pa.decimal32, "64": pa.decimal64, "256": pa.decimal256}.get(bits or "", pa.decimal128)
        return build(int(precision or 18), int(scale or (0 if precision else 3)))

    def _timestamp(self) -> pa.DataType | None:
        match = self._match(_TIMESTAMP)
        return pa.timestamp(match[1].lower(), tz=match[2]) if match else None

    def _simple(self) -> pa.DataType:
        if (match := self._match(_LENGTH)) is not None:
            return pa.binary() if match[0].lower().startswith("varbinary") else pa.string()
        rest = self._rest().lstrip()
        folded = rest.lower()
        for name in _LONGEST_FIRST:
            after = rest[len(name) : len(name) + 1]
            if folded.startswith(name) and not (after.isalnum() or after == "_"):
                self._position = len(self._text) - len(rest) + len(name)
                return _SIMPLE[name]
        raise ValueError("Arrow's and SQL's names are known, such as int64, bigint, text, decimal(18,2), list<int64>")

    def _name(self) -> str:
        match = self._match(_NAME)
        if match is None:
            raise ValueError("a member of a struct has a name")
        return match[1].replace('""', '"') if match[1] is not None else match[2]

    def _rest(self) -> str:
        return self._text[self._position :]

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        start = len(self._text) - len(self._rest().lstrip())
        match = pattern.match(self._text, start)
        if match is not None:
            self._position = match.end()
        return match

    def _take(self, symbol: str) -> bool:
        rest = self._rest().lstrip()
        if not rest.lower().startswith(symbol):
            return False
        self._position = len(self._text) - len(rest) + len(symbol)
        return True

    def _expect(self, symbol: str) -> None:
        if not self._take(symbol):
            raise ValueError(f"{symbol!r} is missing")


def _invalid(detail: str) -> HttpProblem:
    return HttpProblem(HTTPStatus.BAD_REQUEST, "invalid_schema", detail)
