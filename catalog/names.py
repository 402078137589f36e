"""The grammar of names: what a lake, a schema and a dataset may be called.

Names are folded to lower case, as SQL folds them, before they are stored or compared.
"""

import re

from .errors import ErrorKind, LakehouseError
from .model import DatasetName

DEFAULT_SCHEMA = "main"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_PARTS = 2
_RESERVED_LAKES = frozenset(
    {"primary", "default", "main", "system", "temp", "memory", "information_schema", "pg_catalog"}
)
_RESERVED_SCHEMAS = frozenset({"information_schema", "pg_catalog"})


def check_lake_name(name: str) -> str:
    """Return the folded name of a lake, or raise INVALID_ARGUMENT."""
    return _check(name, "lake", _RESERVED_LAKES)


def check_schema_name(name: str) -> str:
    """Return the folded name of a schema, or raise INVALID_ARGUMENT."""
    return _check(name, "schema", _RESERVED_SCHEMAS)


def check_dataset_name(name: DatasetName) -> DatasetName:
    """Return the folded name of a dataset, or raise INVALID_ARGUMENT."""
    return DatasetName(check_schema_name(name.schema), _check(name.name, "dataset", frozenset()))


def parse_dataset_name(text: str, default_schema: str = DEFAULT_SCHEMA) -> DatasetName:
    """Parse ``dataset`` or ``schema.dataset``; raise INVALID_ARGUMENT for anything else."""
    parts = text.split(".")
    if len(parts) > _PARTS:
        raise LakehouseError(
            ErrorKind.INVALID_ARGUMENT, "invalid_name", f"{text!r} is no dataset name: write dataset or schema.dataset."
        )
    schema, name = parts if len(parts) == _PARTS else (default_schema, text)
    return check_dataset_name(DatasetName(schema, name))


def quote_identifier(name: str) -> str:
    """Quote any name for use in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _check(name: str, what: str, reserved: frozenset[str]) -> str:
    if _NAME.fullmatch(name) is None:
        raise LakehouseError(
            ErrorKind.INVALID_ARGUMENT,
            "invalid_name",
            f"{name!r} is no {what} name: it takes a letter or underscore, then letters, digits and underscores, "
            "63 characters at most.",
        )
    folded = name.lower()
    if folded in reserved:
        raise LakehouseError(
            ErrorKind.INVALID_ARGUMENT, "reserved_name", f"{folded!r} is reserved: no {what} may have it."
        )
    return folded
