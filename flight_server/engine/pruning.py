"""Which data objects a query can do without.

``EXPLAIN`` shows the filters that DuckDB pushed into each scan of Parquet: every row that a scan has to deliver passes
them. Objects whose statistics rule a filter out are not even opened. Anything that is not understood prunes nothing.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

import pyarrow as pa
import pyarrow.types as pat

from catalog import LakehouseError, Predicate, prune

from .binding import BoundDataset
from .gate import Query
from .parser import Parser, Tree

Operator = Literal["=", "<", "<=", ">", ">=", "in", "is_null", "is_not_null"]

_POSITION = "position"
_OPTIONAL = "optional: "
_DYNAMIC = "Dynamic Filter"
_COMPARISONS: dict[str, Operator] = {
    "COMPARE_EQUAL": "=",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
}
_NULL_TESTS: dict[str, Operator] = {"OPERATOR_IS_NULL": "is_null", "OPERATOR_IS_NOT_NULL": "is_not_null"}


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan of a plan: the columns that it delivers, and the filters that it applies, as DuckDB prints them."""

    columns: frozenset[str]
    filters: tuple[str, ...]

    def may_read(self, dataset: BoundDataset) -> bool:
        """Whether a dataset has all columns that the scan delivers, or the columns that their fields are in."""
        names = {name.lower() for name in dataset.manifest.schema.names}
        return all(column in names or any(column.startswith(f"{name}.") for name in names) for column in self.columns)


def scans(explained: str) -> list[Scan] | None:
    """Return the Parquet scans of a plan in EXPLAIN's JSON format; None if rows come from anywhere else, too.

    DuckDB answers some parts of a query from what it knows of all objects (their number of rows, say): such a plan has
    leaves of another kind, and dropping objects would falsify it.
    """
    found, waiting = [], list(json.loads(explained))
    while waiting:
        node = waiting.pop()
        children = node.get("children", ())
        waiting += children
        if node.get("name") == "READ_PARQUET":
            details = node.get("extra_info", {})
            columns = frozenset(name.lower() for name in _as_list(details.get("Projections")) if name)
            found.append(Scan(columns, tuple(_as_list(details.get("Filters")))))
        elif not children:
            return None
    return found


def attributed(
    found: Sequence[Scan] | None, query: Query, resolved: dict[tuple[str, ...], BoundDataset]
) -> list[tuple[BoundDataset, Scan]]:
    """Return each scan with its dataset, or nothing unless all of it is certain.

    A scan does not say what it scans. It is certain if the query names each dataset once and scans it once, no part of
    it can be used twice (as a CTE can), and only one dataset has the columns of each scan.
    """
    named = [found for parts, found in resolved.items() for _ in range(query.tables[parts])]
    datasets = {dataset.sql_name: dataset for dataset in named}
    if found is None or query.ctes or not len(named) == len(datasets) == len(found):
        return []
    pairs = []
    for scan in found:
        candidates = [dataset for dataset in named if scan.may_read(dataset)]
        if len(candidates) != 1:
            return []
        pairs.append((candidates[0], scan))
    return pairs if len({dataset.sql_name for dataset, _ in pairs}) == len(pairs) else []


def surviving_objects(dataset: BoundDataset, scan: Scan, parser: Parser) -> list[int] | None:
    """Return the positions of the objects that a scan of a dataset may need, or None for all."""
    schema = dataset.manifest.schema
    predicates = list(_predicates(scan, schema, parser))
    if not predicates:
        return None
    objects = dataset.manifest.objects
    numbered = objects.append_column(_POSITION, pa.array(range(objects.num_rows), pa.int64()))
    kept = prune(numbered, schema, predicates).column(_POSITION).to_pylist()
    return None if len(kept) == objects.num_rows else sorted(kept) or [0]


def _as_list(value: object) -> list[str]:
    if isinstance(value, list):
        return [str(item) for item in value]
    return [] if value is None else [str(value)]


def _predicates(scan: Scan, schema: pa.Schema, parser: Parser) -> Iterator[Predicate]:
    """Yield what is understood of a scan's filters.

    A constant with a line break is printed over several lines, and each line arrives as a filter of its own. The parts
    of a broken string do not parse into as many expressions as there are lines: then none of them counts.
    """
    texts = [text.removeprefix(_OPTIONAL) for text in scan.filters]
    texts = [text for text in texts if not text.startswith(_DYNAMIC)]
    if not texts:
        return
    try:
        tree = parser.tree("SELECT " + ",\n".join(texts))
    except LakehouseError:
        return
    expressions = tree["node"].get("select_list", [])
    if len(expressions) != len(texts):
        return
    fields = {field.name.lower(): field for field in schema}
    while expressions:
        expression = expressions.pop()
        if expression.get("type") == "CONJUNCTION_AND":
            expressions += expression.get("children", ())
            continue
        predicate = _predicate(expression, fields)
        if predicate is not None:
            yield predicate


def _predicate(expression: Tree, fields: dict[str, pa.Field]) -> Predicate | None:
    kind = str(expression.get("type"))
    if kind == "COLUMN_REF":
        return _boolean(expression, fields, wanted=True)
    children = expression.get("children", ())
    if kind == "OPERATOR_NOT" and len(children) == 1:
        return _boolean(children[0], fields, wanted=False)
    if kind in _NULL_TESTS and len(children) == 1:
        field = _field(children[0], fields)
        return None if field is None else Predicate(field.name, _NULL_TESTS[kind], pa.array([], field.type))
    if kind in _COMPARISONS:
        return _comparison(expression.get("left", {}), _COMPARISONS[kind], [expression.get("right", {})], fields)
    if kind == "COMPARE_IN" and children:
        return _comparison(children[0], "in", children[1:], fields)
    return None


def _boolean(expression: Tree, fields: dict[str, pa.Field], *, wanted: bool) -> Predicate | None:
    field = _field(expression, fields)
    if field is None or not pat.is_boolean(field.type):
        return None
    return Predicate(field.name, "=", pa.array([wanted]))


def _comparison(
    column: Tree, operator: Operator, constants: Sequence[Tree], fields: dict[str, pa.Field]
) -> Predicate | None:
    field = _field(column, fields)
    if field is None:
        return None
    values = [_constant(constant, field.type) for constant in constants]
    if any(value is None for value in values):
        return None
    return Predicate(field.name, operator, pa.concat_arrays([value for value in values if value is not None]))


def _field(expression: Tree, fields: dict[str, pa.Field]) -> pa.Field | None:
    names = expression.get("column_names", ())
    if expression.get("type") != "COLUMN_REF" or len(names) != 1:
        return None
    return fields.get(str(names[0]).lower())


def _constant(expression: Tree, kind: pa.DataType) -> pa.Array | None:
    """Return a constant as an array of one value of a column's type, or None if that is not certain."""
    literal = expression.get("literal")
    if expression.get("type") == "OPERATOR_CAST":
        literal = expression.get("child", {}).get("literal")
        if literal is None or literal.get("kind") != "STRING" or pat.is_binary(kind):
            return None
    if literal is None or "text" not in literal:
        return None
    try:
        return _typed(str(literal["kind"]), str(literal["text"]), kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError, OverflowError, InvalidOperation):
        return None


def _typed(literal_kind: str, text: str, kind: pa.DataType) -> pa.Array | None:
    if literal_kind == "STRING":
        if pat.is_string(kind):
            return pa.array([text], kind)
        if pat.is_floating(kind):
            return pa.array([float(text)], kind)
        return pa.array([text]).cast(kind) if pat.is_temporal(kind) else None
    value: Any
    if pat.is_integer(kind) and literal_kind == "INTEGER":
        value = int(text)
    elif pat.is_floating(kind):
        value = float(text)
    elif pat.is_decimal(kind):
        value = Decimal(text)
    elif pat.is_boolean(kind) and literal_kind == "BOOLEAN":
        value = text == "true"
    else:
        return None
    return pa.array([value], kind)
