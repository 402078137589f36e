"""From a dataset at one version to the SQL of the view that shows it to DuckDB."""

from dataclasses import dataclass

import pyarrow as pa

from catalog import DatasetEntry, DatasetName, ErrorKind, LakehouseError, Manifest, physical_differs, quote_identifier

from . import LakeSnapshot, Scope
from .filesystem import ObjectSet
from .sql_types import sql_type

_INTERVAL = pa.month_day_nano_interval()
_FROM_INTERVAL = (
    "CASE WHEN {0} IS NOT NULL THEN to_months({0}.months) + to_days({0}.days) + to_microseconds({0}.micros) END"
)
_MAX_PARTS = 3


@dataclass(frozen=True, slots=True)
class BoundDataset:
    """A dataset that a statement names, at the version that the statement reads."""

    lake: str
    name: DatasetName
    entry: DatasetEntry
    manifest: Manifest

    @property
    def sql_name(self) -> str:
        """The qualified, quoted name."""
        return ".".join(map(quote_identifier, (self.lake, self.name.schema, self.name.name)))


def resolve(parts: tuple[str, ...], scope: Scope) -> BoundDataset | None:
    """Find the dataset that a name in a query means, or return None.

    One part names a dataset of the default schema. Two name a schema of the default lake and its dataset; when there is
    no such schema, a lake and a dataset in its schema ``main``. Three are unambiguous.
    """
    folded = tuple(part.lower() for part in parts)
    match folded:
        case (name,):
            return _find(scope.catalog, scope.schema, name, scope)
        case (lake, name) if lake in scope.lakes and lake not in scope.lakes[scope.catalog].schemas():
            return _find(lake, "main", name, scope)
        case (schema, name):
            return _find(scope.catalog, schema, name, scope)
        case (lake, schema, name):
            return _find(lake, schema, name, scope)
        case _:
            return None


def all_datasets(scope: Scope, limit: int) -> list[BoundDataset]:
    """Find every dataset of a scope.

    Raises:
        LakehouseError: TOO_LARGE ``too_many_datasets``.
    """
    found: list[BoundDataset] = []
    for lake in scope.lakes:
        snapshot = scope.lakes[lake]
        entries = snapshot.entries()
        if len(found) + len(entries) > limit:
            raise LakehouseError(
                ErrorKind.TOO_LARGE,
                "too_many_datasets",
                f"SQL can list at most {limit} datasets at once. Use the Flight SQL or HTTP catalog calls.",
            )
        found += [_bound(lake, snapshot, entry) for entry in entries]
    return found


def view_sql(dataset: BoundDataset, objects: ObjectSet) -> str:
    """Return the statement that makes a dataset's view.

    DuckDB's guesses are switched off. ``can_have_nan``: a footer's bounds say nothing of NaN, which SQL sorts above
    all numbers.
    """
    schema = dataset.manifest.schema
    differing = [field for field in schema if physical_differs(field.type)]
    replaced = ", ".join(f"{_logical(field)} AS {quote_identifier(field.name)}" for field in differing)
    columns = f"* REPLACE ({replaced})" if differing else "*"
    return (
        f"CREATE OR REPLACE VIEW {dataset.sql_name} AS SELECT {columns} FROM read_parquet('{objects.pattern}', "  # noqa: S608 all names are quoted
        "hive_partitioning=false, union_by_name=false, filename=false, file_row_number=false, binary_as_string=false, "
        "can_have_nan=true)"
    )


def table_sql(dataset: BoundDataset) -> str:
    """Return the statement that makes an empty table with a dataset's columns, for the information schema."""
    columns = ", ".join(
        f"{quote_identifier(field.name)} {sql_type(field.type)}{'' if field.nullable else ' NOT NULL'}"
        for field in dataset.manifest.schema
    )
    return f"CREATE TABLE {dataset.sql_name} ({columns})"


def _logical(field: pa.Field) -> str:
    """Return the expression that turns a column's physical form back into its type."""
    if field.type == _INTERVAL:
        return _FROM_INTERVAL.format(quote_identifier(field.name))
    return f"CAST({quote_identifier(field.name)} AS {sql_type(field.type)})"


def _find(lake: str, schema: str, name: str, scope: Scope) -> BoundDataset | None:
    if lake not in scope.lakes:
        return None
    snapshot = scope.lakes[lake]
    entry = snapshot.find(DatasetName(schema, name))
    return None if entry is None else _bound(lake, snapshot, entry)


def _bound(lake: str, snapshot: LakeSnapshot, entry: DatasetEntry) -> BoundDataset:
    return BoundDataset(lake, entry.name, entry, snapshot.manifest(entry))
