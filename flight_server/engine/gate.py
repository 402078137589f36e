"""What a query may contain: the second wall around the lake.

(The first is that an instance has nothing to reach: see ``instance.py`` and ``filesystem.py``.) The gate walks the tree
that DuckDB's own parser makes of a query. Every kind of node that it does not know is refused, so is every table
function that is not on the list, and every scalar function that can name a table, a file or a setting in a string.
"""

from collections import Counter
from dataclasses import dataclass

from catalog import ErrorKind, LakehouseError

from .parser import Parser, Tree, nodes

TABLE_FUNCTIONS = frozenset(
    {
        "duckdb_columns",
        "duckdb_constraints",
        "duckdb_functions",
        "duckdb_keywords",
        "duckdb_schemas",
        "duckdb_tables",
        "duckdb_types",
        "generate_series",
        "generate_subscripts",
        "icu_calendar_names",
        "json_each",
        "json_tree",
        "pg_timezone_names",
        "pragma_collations",
        "pragma_version",
        "range",
        "repeat",
        "repeat_row",
        "summary",
        "test_all_types",
        "unnest",
    }
)
"""The table functions that queries may call."""

LISTING_FUNCTIONS = frozenset({"duckdb_columns", "duckdb_constraints", "duckdb_schemas", "duckdb_tables"})
"""Those of them that list what the lake holds."""

DENIED_FUNCTIONS = frozenset(
    {
        "currval",
        "current_setting",
        "force_checkpoint",
        "getenv",
        "getvariable",
        "glob",
        "index_key",
        "json_deserialize_sql",
        "json_execute_serialized_sql",
        "json_serialize_plan",
        "json_serialize_sql",
        "nextval",
        "parse_duckdb_log_message",
        "pg_get_viewdef",
        "pg_sleep",
        "query",
        "query_table",
        "set_config",
        "setseed",
        "setval",
        "sleep_ms",
        "which_secret",
        "write_log",
    }
)
DENIED_PREFIXES = ("__internal", "duckdb_", "parquet_", "pragma_", "read_", "sniff_", "write_")
"""Scalar functions that queries may not call: they take SQL, names, files or settings as text, or keep state."""

VISIBLE_SETTINGS = frozenset({"timezone", "calendar", "default_order", "default_null_order", "default_collation"})
"""What ``current_setting`` answers for."""

INFORMATION_SCHEMA = frozenset(
    {
        "character_sets",
        "columns",
        "constraint_column_usage",
        "constraint_table_usage",
        "key_column_usage",
        "referential_constraints",
        "schemata",
        "table_constraints",
        "tables",
    }
)

_NODES = frozenset(
    {
        "SELECT_NODE",
        "SET_OPERATION_NODE",
        "RECURSIVE_CTE_NODE",
        "CTE_NODE",
        "BASE_TABLE",
        "SUBQUERY",
        "JOIN",
        "TABLE_FUNCTION",
        "EMPTY",
        "EMPTY_FROM",
        "EXPRESSION_LIST",
        "PIVOT",
        "SHOW_REF",
        "ORDER_MODIFIER",
        "LIMIT_MODIFIER",
        "LIMIT_PERCENT_MODIFIER",
        "DISTINCT_MODIFIER",
        "ORDER_DEFAULT",
        "ASCENDING",
        "DESCENDING",
    }
)
_EXPRESSIONS = frozenset(
    {
        "BETWEEN",
        "CASE",
        "CAST",
        "COLLATE",
        "COLUMN_REF",
        "COMPARISON",
        "CONJUNCTION",
        "CONSTANT",
        "DEFAULT",
        "FUNCTION",
        "LAMBDA",
        "LAMBDA_REF",
        "OPERATOR",
        "PARAMETER",
        "POSITIONAL_REFERENCE",
        "STAR",
        "SUBQUERY",
        "TYPE",
        "WINDOW",
    }
)
_CHANGES = {"DELETE_QUERY_NODE": "DELETE", "INSERT_QUERY_NODE": "INSERT", "UPDATE_QUERY_NODE": "UPDATE"}
_SPECIAL_SHOWS = frozenset({"tables", "databases", "schemas", "__show_tables_expanded"})


@dataclass(frozen=True, slots=True)
class Query:
    """A query that passed the gate.

    Attributes:
        tree: DuckDB's parse of it.
        tables: how often each table name (its parts as written) occurs, CTEs' own names included.
        ctes: names of all CTEs, folded.
        lists: whether it asks for the information schema, so that all datasets must be bound.
        filters: whether it has a condition anywhere.
        parameters: names of its parameters in order, ``1``, ``2``, … for positional ones.
    """

    tree: Tree
    tables: Counter[tuple[str, ...]]
    ctes: frozenset[str]
    lists: bool
    filters: bool
    parameters: tuple[str, ...]


def admit(sql: str, parser: Parser) -> Query:
    """Let a query pass.

    Raises:
        LakehouseError: it does not parse, is no query, or contains something that queries may not contain.
    """
    tree = parser.tree(sql)
    walk = _Walk()
    walk.over(tree)
    named = sorted(tree.get("named_param_map", ()), key=lambda item: item["value"])
    parameters = tuple(str(item["key"]) for item in named)
    return Query(tree, walk.tables, frozenset(walk.ctes), walk.lists, walk.filters, parameters)


class _Walk:
    """Visits every node of a tree, whatever it hangs on."""

    def __init__(self) -> None:
        self.tables: Counter[tuple[str, ...]] = Counter()
        self.ctes: set[str] = set()
        self.lists = False
        self.filters = False

    def over(self, tree: Tree) -> None:
        for node in nodes(tree):
            self._visit(node)

    def _visit(self, node: Tree) -> None:
        if "class" in node:
            self._expression(node)
        elif isinstance(node.get("type"), str):
            self._node(node)
        cte_map = node.get("cte_map")
        if cte_map:
            self.ctes.update(str(entry["key"]).lower() for entry in cte_map.get("map", ()))

    def _expression(self, node: Tree) -> None:
        if node["class"] not in _EXPRESSIONS:
            raise _not_allowed(f"A query cannot contain {node['class']} expressions.")
        if node["class"] in {"FUNCTION", "WINDOW"}:
            _check_function(node)
        elif node["class"] == "COMPARISON":
            self.filters = True

    def _node(self, node: Tree) -> None:
        kind = node["type"]
        if kind in _CHANGES:
            raise _not_allowed(f"{_CHANGES[kind]} cannot be part of a query.")
        if kind not in _NODES:
            raise _not_allowed(f"A query cannot contain {kind}.")
        if kind == "BASE_TABLE":
            self._table(node)
        elif kind == "TABLE_FUNCTION":
            self._table_function(node)
        elif kind == "SHOW_REF":
            self._show(node)
        elif kind == "RECURSIVE_CTE_NODE":
            self.ctes.add(str(node.get("cte_name", "")).lower())
        if node.get("where_clause"):
            self.filters = True

    def _table(self, node: Tree) -> None:
        if node.get("at_clause"):
            raise LakehouseError(
                ErrorKind.UNIMPLEMENTED, "time_travel_in_sql", "AT (…) is not supported: name the snapshot outside SQL."
            )
        parts = tuple(node["qualified_name"]["path"])
        if len(parts) > 1 and parts[-2].lower() == "information_schema":
            if parts[-1].lower() not in INFORMATION_SCHEMA:
                raise _not_found(parts)
            self.lists = True
            return
        self.tables[parts] += 1

    def _table_function(self, node: Tree) -> None:
        function = node["function"]
        name = _function_name(function)
        if name not in TABLE_FUNCTIONS:
            raise _function_not_allowed(name)
        self.lists = self.lists or name in LISTING_FUNCTIONS

    def _show(self, node: Tree) -> None:
        kind = node.get("show_type")
        if kind in {"DESCRIBE", "SUMMARY"} and node.get("query"):
            return
        path = tuple(str(part).strip('"') for part in node.get("qualified_name", {}).get("path", ()))
        if kind == "SHOW_FROM" or (kind == "SHOW_SPECIAL" and path[-1:] and path[-1].lower() in _SPECIAL_SHOWS):
            self.lists = True
        elif kind in {"SHOW", "DESCRIBE", "SUMMARY"} and path:
            self.tables[path] += 1
        else:
            raise _not_allowed("SHOW takes TABLES, ALL TABLES, SCHEMAS, DATABASES or the name of a dataset.")


def _check_function(node: Tree) -> None:
    name = _function_name(node)
    if name == "current_setting":
        arguments = node.get("arguments", ())
        literal = arguments[0]["expression"].get("literal", {}) if len(arguments) == 1 else {}
        if str(literal.get("text", "")).lower() in VISIBLE_SETTINGS:
            return
    if name in TABLE_FUNCTIONS:
        return
    if name in DENIED_FUNCTIONS or name.startswith(DENIED_PREFIXES):
        raise _function_not_allowed(name)


def _function_name(node: Tree) -> str:
    path = node.get("qualified_name", {}).get("path") or [node.get("function_name", "")]
    return str(path[-1]).lower()


def _not_allowed(message: str) -> LakehouseError:
    return LakehouseError(ErrorKind.PERMISSION_DENIED, "statement_not_allowed", message)


def _function_not_allowed(name: str) -> LakehouseError:
    return LakehouseError(
        ErrorKind.PERMISSION_DENIED, "function_not_allowed", f"The function {name} is not available in this server."
    )


def _not_found(parts: tuple[str, ...]) -> LakehouseError:
    return LakehouseError(ErrorKind.NOT_FOUND, "dataset_not_found", f"There is no dataset {'.'.join(parts)}.")
