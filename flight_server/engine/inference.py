"""What types a statement's parameters have, as far as its text tells before anything is bound."""

import re
from collections.abc import Iterable, Sequence

import pyarrow as pa

from .binding import BoundDataset
from .encoding import stream_type
from .gate import Query
from .parser import Parser, Tree, nodes
from .sql_types import ArrowTypes

_SIMPLE_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_ ]*")
_TEXT_FUNCTIONS = frozenset({"~~", "~~*", "!~~", "!~~*", "contains", "starts_with", "ends_with", "regexp_matches"})


def parameter_schema(
    query: Query, datasets: Iterable[BoundDataset], parser: Parser, arrow_types: ArrowTypes
) -> pa.Schema:
    """Return a field per parameter: the type that it is cast to or compared with; null where neither tells."""
    types: dict[str, pa.DataType] = {}
    if query.parameters:
        walk = _Inference(_column_types(datasets), parser, arrow_types)
        walk.over(query.tree)
        types = walk.types
    return pa.schema([(name, types.get(name, pa.null())) for name in query.parameters])


def _column_types(datasets: Iterable[BoundDataset]) -> dict[str, pa.DataType | None]:
    """Return the type of each column name of these datasets; None where two datasets disagree."""
    types: dict[str, pa.DataType | None] = {}
    for dataset in datasets:
        for field in dataset.manifest.schema:
            name = field.name.lower()
            types[name] = field.type if types.get(name, field.type) == field.type else None
    return types


class _Inference:
    def __init__(self, columns: dict[str, pa.DataType | None], parser: Parser, arrow_types: ArrowTypes) -> None:
        self.types: dict[str, pa.DataType] = {}
        self._columns = columns
        self._parser = parser
        self._arrow_types = arrow_types

    def over(self, tree: Tree) -> None:
        for node in nodes(tree):
            self._visit(node)

    def _visit(self, node: Tree) -> None:
        match node.get("class"):
            case "COMPARISON":
                self._together([node.get("left"), node.get("right")])
            case "BETWEEN":
                self._together([node.get("input"), node.get("lower"), node.get("upper")])
            case "OPERATOR" if str(node.get("type")).startswith("COMPARE_"):
                self._together(node.get("children", ()))
            case "CAST":
                self._cast(node)
            case "FUNCTION" if node.get("function_name") in _TEXT_FUNCTIONS:
                for argument in node.get("arguments", ()):
                    self._learn(argument.get("expression"), pa.string())
            case _:
                if node.get("type") == "LIMIT_MODIFIER":
                    self._learn(node.get("limit"), pa.int64())
                    self._learn(node.get("offset"), pa.int64())

    def _together(self, expressions: Sequence[Tree | None]) -> None:
        """Learn from a column what the parameters beside it are."""
        for expression in expressions:
            if expression and expression.get("class") == "COLUMN_REF":
                kind = self._columns.get(str(expression.get("column_names", ("",))[-1]).lower())
                if kind is not None:
                    for other in expressions:
                        self._learn(other, kind)

    def _cast(self, node: Tree) -> None:
        target = node.get("type_expr", {})
        name = str(target.get("type_name", ""))
        if not target.get("children") and _SIMPLE_TYPE.fullmatch(name):
            found = self._parser.types(f"SELECT CAST(NULL AS {name})")
            kind = stream_type(found[0]) or str(found[0])
            self._learn(node.get("child"), self._arrow_types.fields([kind])[0].type)

    def _learn(self, expression: Tree | None, kind: pa.DataType) -> None:
        if expression and expression.get("class") == "PARAMETER":
            self.types.setdefault(str(expression.get("identifier")), kind)
