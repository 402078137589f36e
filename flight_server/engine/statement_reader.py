"""Reads a statement token by token, and hands out its parts as slices of the user's own text."""

from dataclasses import dataclass

from catalog import ErrorKind, LakehouseError

from . import Statement, StatementKind
from .parser import tokenize

OPENING, CLOSING = frozenset("([{"), frozenset(")]}")
_MAX_PARTS = 3


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    """A column in CREATE TABLE: its name, the text of its type, and whether NULL is allowed."""

    name: str
    type_sql: str
    nullable: bool


@dataclass(frozen=True, slots=True)
class Dissected:
    """A statement, and the column definitions of CREATE TABLE, which the engine turns into a schema."""

    statement: Statement
    definitions: tuple[ColumnDefinition, ...] = ()


def not_allowed(message: str) -> LakehouseError:
    """Make the error for a statement that this server never runs."""
    return LakehouseError(ErrorKind.PERMISSION_DENIED, "statement_not_allowed", message)


def unsupported(what: str, hint: str = "") -> LakehouseError:
    """Make the error for a statement, or a part of one, that is not supported."""
    return LakehouseError(ErrorKind.UNIMPLEMENTED, "statement_not_supported", f"{what} is not supported.{hint}")


class StatementReader:
    """Reads a statement token by token."""

    def __init__(self, sql: str, parameter_count: int) -> None:
        self.sql = sql
        self.parameter_count = parameter_count
        self.tokens = tokenize(sql)
        while self.tokens and self.tokens[-1].text == ";":
            self.tokens.pop()
        self.at = 0

    @property
    def word(self) -> str:
        """The next token in lower case; empty at the end."""
        return self.tokens[self.at].word if self.at < len(self.tokens) else ""

    def accept(self, *words: str) -> bool:
        """Step over these words if they come next."""
        found = tuple(token.word for token in self.tokens[self.at : self.at + len(words)])
        if found == words:
            self.at += len(words)
            return True
        return False

    def expect(self, *words: str) -> None:
        """Step over these words, which must come next."""
        if not self.accept(*words):
            raise unsupported(self._rest_words())

    def expect_end(self) -> None:
        """Refuse what is left."""
        if self.at < len(self.tokens):
            raise unsupported(self._rest_words())

    def name(self) -> tuple[str, ...]:
        """Read a name of one to three parts, unquoted."""
        parts = [self._part()]
        while self.accept("."):
            parts.append(self._part())
        if len(parts) > _MAX_PARTS:
            raise LakehouseError(
                ErrorKind.INVALID_ARGUMENT, "invalid_name", f"A name has at most three parts: {'.'.join(parts)}"
            )
        return tuple(parts)

    def rest(self) -> str:
        """Read all that is left as text."""
        text = self.slice(self.at, len(self.tokens))
        self.at = len(self.tokens)
        return text

    def slice(self, first: int, last: int) -> str:
        """Return the text of the tokens from ``first`` up to, not including, ``last``."""
        return self.sql[self.tokens[first].start : self.tokens[last - 1].end] if first < last else ""

    def closing(self) -> int:
        """Return the position of the parenthesis that closes the one at the current position."""
        depth = 0
        for position in range(self.at, len(self.tokens)):
            depth += (self.tokens[position].text in OPENING) - (self.tokens[position].text in CLOSING)
            if depth == 0:
                return position
        raise unsupported("This statement")

    def top_level(self) -> list[int]:
        """Return the positions from here on that are outside all parentheses."""
        depth, found = 0, []
        for position in range(self.at, len(self.tokens)):
            depth -= self.tokens[position].text in CLOSING
            if depth == 0:
                found.append(position)
            depth += self.tokens[position].text in OPENING
        return found

    def statement(self, kind: StatementKind, **parts: object) -> Dissected:
        """Make the statement from its parts."""
        text = self.slice(0, len(self.tokens))
        return Dissected(Statement(kind, text, parameter_count=self.parameter_count, **parts))  # type: ignore[arg-type]

    def _part(self) -> str:
        if self.at >= len(self.tokens):
            raise unsupported("This statement")
        token = self.tokens[self.at]
        self.at += 1
        if token.text.startswith('"'):
            return token.text[1:-1].replace('""', '"')
        if not (token.text[0].isalpha() or token.text[0] == "_"):
            raise unsupported(f"A name that begins with {token.text[:20]}")
        return token.text

    def _rest_words(self) -> str:
        words = " ".join(token.text for token in self.tokens[self.at : self.at + 4])
        return f"This form of the statement (at: {words[:60] or 'its end'})"
