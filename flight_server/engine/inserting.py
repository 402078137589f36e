"""The query whose rows an INSERT adds."""

from collections.abc import Sequence

import pyarrow as pa

from catalog import ErrorKind, LakehouseError, quote_identifier

from . import Statement
from .failures import INSERTED
from .sql_types import sql_type


def insert_sql(statement: Statement, target: pa.Schema, source_names: Sequence[str]) -> str:
    """Return a query with exactly the target's columns, in order.

    Args:
        statement: an INSERT.
        target: schema of the dataset.
        source_names: names of the columns of the statement's source.

    Raises:
        LakehouseError: INVALID_ARGUMENT ``column_not_found``, ``duplicate_column`` or ``column_count``.
    """
    places = _places(statement, target, source_names)
    aliases = {index: quote_identifier(INSERTED + target.names[index]) for index in places}
    columns = ", ".join(
        f"CAST({aliases.get(index, 'NULL')} AS {sql_type(field.type)}) AS {quote_identifier(field.name)}"
        for index, field in enumerate(target)
    )
    in_order = ", ".join(aliases[index] for index in sorted(places, key=places.__getitem__))
    return f"SELECT {columns} FROM (\n{statement.source_sql}\n) AS source({in_order})"  # noqa: S608 the parts have passed the gate


def _places(statement: Statement, target: pa.Schema, source_names: Sequence[str]) -> dict[int, int]:
    """Return the source's column for each target column that gets one."""
    if statement.by_name:
        named: Sequence[str] = source_names
    elif statement.columns is not None:
        named = statement.columns
    else:
        named = target.names
    if len(named) != len(source_names):
        raise _invalid(
            "column_count", f"The INSERT wants {len(named)} columns, and its source has {len(source_names)}."
        )
    positions = {name.lower(): index for index, name in enumerate(target.names)}
    places: dict[int, int] = {}
    for number, name in enumerate(named):
        index = positions.get(name.lower())
        if index is None:
            raise _invalid("column_not_found", f"The dataset has no column {name}.")
        if index in places:
            raise _invalid("duplicate_column", f"The column {name} is named twice.")
        places[index] = number
    return places


def _invalid(code: str, message: str) -> LakehouseError:
    return LakehouseError(ErrorKind.INVALID_ARGUMENT, code, message)
