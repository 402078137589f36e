"""The catalog over plain Flight actions: a JSON object in, a JSON object out."""

import base64
import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import pyarrow as pa

from catalog import DatasetEntry, ErrorKind, LakehouseError, Snapshot, WriterSettings, fingerprint, storable_schema

from .targets import Defaults, MountedLake, Target, require_lake, resolve_target

Json = dict[str, Any]
Arguments = Mapping[str, Any]

DESCRIPTIONS = {
    "lakehouse.datasets": 'List datasets: {"lake"?, "schema"?} → {"datasets": […]}.',
    "lakehouse.dataset": 'Describe a dataset: {"dataset"} → its manifest.',
    "lakehouse.register": 'Register a dataset: {"dataset", "schema": base64 of an IPC schema message} → its manifest.',
    "lakehouse.drop": 'Drop a dataset: {"dataset", "if_exists"?} → {"dropped"}.',
    "lakehouse.history": 'List a dataset\'s commits, newest first: {"dataset"} → {"commits": […]}.',
    "lakehouse.health": 'Ask every lake\'s store: {} → {"status", "lakes"}.',
    "lakehouse.info": "Describe the server: {} → versions.",
}
"""The actions and what each takes and gives."""


class CatalogActions:
    """Answers the plain actions.

    Args:
        lakes: the mounted lakes.
        settings: limits of the writer, which registered schemas must keep.
    """

    def __init__(self, lakes: Mapping[str, MountedLake], settings: WriterSettings) -> None:
        self._lakes = lakes
        self._settings = settings
        self._actions: dict[str, Callable[[Arguments, Defaults], Json]] = {
            "lakehouse.datasets": self.datasets,
            "lakehouse.dataset": self.dataset,
            "lakehouse.register": self.register,
            "lakehouse.drop": self.drop,
            "lakehouse.history": self.history,
            "lakehouse.health": self.health,
            "lakehouse.info": self.info,
        }

    def run(self, action: str, body: Arguments, defaults: Defaults) -> Json:
        """Run one action. Raises LakehouseError; UNIMPLEMENTED ``unknown_action`` for a name that is not ours."""
        try:
            method = self._actions[action]
        except KeyError:
            raise LakehouseError(ErrorKind.UNIMPLEMENTED, "unknown_action", f'There is no action "{action}".') from None
        return method(body, defaults)

    def datasets(self, body: Arguments, defaults: Defaults) -> Json:
        """List the datasets of one lake, or of one schema."""
        lake = _text(body, "lake", defaults.catalog)
        schema = _text(body, "schema", None)
        entries = require_lake(self._lakes, lake).lake.snapshot().entries(schema)
        return {"datasets": [_entry_json(lake, entry) for entry in entries]}

    def dataset(self, body: Arguments, defaults: Defaults) -> Json:
        """Describe one dataset at its newest version."""
        target = self._target(body, defaults)
        return self._manifest_json(target, self._snapshot(target))

    def register(self, body: Arguments, defaults: Defaults) -> Json:
        """Make a dataset without rows; the same again is fine, another schema is a conflict."""
        target = self._target(body, defaults)
        schema = storable_schema(_schema(body), self._settings)
        before = self._snapshot(target).find(target.name)
        if before is None or before.schema_fingerprint != fingerprint(schema):
            transaction = self._lakes[target.lake].lake.begin()
            transaction.create(target.name, schema, if_exists="register")
            transaction.commit()
        return {**self._manifest_json(target, self._snapshot(target)), "created": before is None}

    def drop(self, body: Arguments, defaults: Defaults) -> Json:
        """Drop a dataset; its objects stay until they are collected."""
        target = self._target(body, defaults)
        existed = self._snapshot(target).find(target.name) is not None
        transaction = self._lakes[target.lake].lake.begin()
        transaction.drop(target.name, if_exists=body.get("if_exists") is True)
        transaction.commit()
        return {"dropped": existed}

    def history(self, body: Arguments, defaults: Defaults) -> Json:
        """List the commits of one dataset, newest first."""
        target = self._target(body, defaults)
        records = self._lakes[target.lake].lake.history(target.name)
        return {
            "commits": [
                {
                    "version": record.version,
                    "commit_id": record.commit_id,
                    "committed_at": _rfc3339(record.committed_at),
                    "operation": record.operation,
                    "rows_added": record.rows_added,
                    "rows_removed": record.rows_removed,
                }
                for record in records
            ]
        }

    def health(self, _body: Arguments, _defaults: Defaults) -> Json:
        """Ask the store of every lake."""
        lakes = {name: _ping(mounted) for name, mounted in self._lakes.items()}
        up = all(lake["status"] == "ok" for lake in lakes.values())
        return {"status": "ok" if up else "unavailable", "lakes": lakes}

    def info(self, _body: Arguments, _defaults: Defaults) -> Json:
        """Tell the versions of what runs here."""
        return {
            "version": version("arrow-lakehouse"),
            "arrow_version": pa.__version__,
            "python_version": platform.python_version(),
            "lakes": sorted(self._lakes),
        }

    def _target(self, body: Arguments, defaults: Defaults) -> Target:
        target = resolve_target(_required(body, "dataset").split("."), defaults, self._lakes)
        require_lake(self._lakes, target.lake)
        return target

    def _snapshot(self, target: Target) -> Snapshot:
        return self._lakes[target.lake].lake.snapshot()

    def _manifest_json(self, target: Target, snapshot: Snapshot) -> Json:
        entry = snapshot.entry(target.name)
        manifest = snapshot.manifest(entry)
        return {
            **_entry_json(target.lake, entry),
            "snapshot": snapshot.version,
            "schema": [
                {"name": field.name, "type": str(field.type), "nullable": field.nullable} for field in manifest.schema
            ],
            "objects": manifest.objects.select(["key", "bytes", "rows"]).to_pylist(),
        }


def _entry_json(lake: str, entry: DatasetEntry) -> Json:
    return {
        "dataset_id": entry.dataset_id,
        "name": entry.name.name,
        "schema_name": entry.name.schema,
        "lake": lake,
        "schema_fingerprint": entry.schema_fingerprint,
        "row_count": entry.row_count,
        "bytes": entry.bytes,
        "object_count": entry.object_count,
        "version": entry.version,
        "created_at": _rfc3339(entry.created_at),
        "updated_at": _rfc3339(entry.updated_at),
    }


def _ping(mounted: MountedLake) -> Json:
    try:
        mounted.lake.ping()
    except LakehouseError as error:
        return {"status": "unavailable", "reason": str(error)}
    return {"status": "ok"}


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _required(body: Arguments, key: str) -> str:
    value: str | None = _text(body, key, None)
    if not value:
        raise LakehouseError(ErrorKind.INVALID_ARGUMENT, "malformed_command", f'The action needs "{key}", a text.')
    return value


def _text(body: Arguments, key: str, default: Any) -> Any:
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise LakehouseError(ErrorKind.INVALID_ARGUMENT, "malformed_command", f'"{key}" must be a text.')
    return value or default


def _schema(body: Arguments) -> pa.Schema:
    try:
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(_required(body, "schema"), validate=True)))
    except (ValueError, pa.ArrowException, OSError):
        raise LakehouseError(
            ErrorKind.INVALID_ARGUMENT, "malformed_command", '"schema" must be the base64 of an IPC schema message.'
        ) from None
