"""A snapshot with changes on top that nobody else sees yet.

Transactions use it to read their own writes, the committer to build the next root. It is an immutable value: a change
makes a new draft, so a change that fails leaves nothing behind.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from .errors import ErrorKind, LakehouseError
from .model import DATASETS, DatasetEntry, DatasetName, Manifest, Root
from .paths import manifest_key
from .snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class StagedDataset:
    """A dataset with a new manifest, and the row that the root will have for it."""

    entry: DatasetEntry
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Draft:
    """A snapshot with changes on top.

    Attributes:
        base: the snapshot that the changes are applied on.
        schemas: names of all schemas, after the changes.
        staged: datasets that were changed; None for one that was dropped.
    """

    base: Snapshot
    schemas: frozenset[str]
    staged: Mapping[DatasetName, StagedDataset | None] = field(default_factory=dict)

    @classmethod
    def on(cls, base: Snapshot) -> "Draft":
        """Begin without changes."""
        return cls(base, base.root.schemas)

    @property
    def changed(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self.staged) or self.schemas != self.base.root.schemas

    def find(self, name: DatasetName) -> DatasetEntry | None:
        """Look a dataset up; a name in a schema that does not exist is NOT_FOUND."""
        if name.schema not in self.schemas:
            raise schema_not_found(name.schema)
        if name in self.staged:
            staged = self.staged[name]
            return None if staged is None else staged.entry
        return self.base.find(name)

    def manifest(self, name: DatasetName) -> Manifest | None:
        """Look a dataset's manifest up, as :meth:`find`."""
        entry = self.find(name)
        if entry is None:
            return None
        staged = self.staged.get(name)
        return self.base.manifest(entry) if staged is None else staged.manifest

    def with_dataset(self, manifest: Manifest) -> "Draft":
        """Create a dataset or give it a new manifest."""
        entry = DatasetEntry(
            dataset_id=manifest.dataset_id,
            name=manifest.name,
            manifest=manifest_key(manifest.dataset_id, self.base.epoch),
            version=manifest.version,
            schema_fingerprint=manifest.schema_fingerprint,
            row_count=manifest.row_count,
            bytes=pc.sum(manifest.objects["bytes"]).as_py() or 0,
            object_count=manifest.objects.num_rows,
            created_at=manifest.created_at,
            updated_at=manifest.updated_at,
        )
        return self.with_staged(manifest.name, StagedDataset(entry, manifest))

    def with_staged(self, name: DatasetName, staged: StagedDataset | None) -> "Draft":
        """Replace what is staged for a name; None drops the dataset."""
        return replace(self, staged={**self.staged, name: staged})

    def with_schemas(self, schemas: frozenset[str]) -> "Draft":
        """Replace the set of schemas."""
        return replace(self, schemas=schemas)

    def has_datasets(self, schema: str) -> bool:
        """Whether a schema holds any dataset."""
        staged = (name.schema == schema and dataset is not None for name, dataset in self.staged.items())
        return any(staged) or any(entry.name not in self.staged for entry in self.base.entries(schema))

    def root(self, *, version: int, commit_id: str, committed_at: datetime) -> Root:
        """Build the root that shows the changes."""
        written = [dataset for dataset in self.staged.values() if dataset is not None]
        return replace(
            self.base.root,
            version=version,
            commit_id=commit_id,
            parent_commit_id=self.base.commit_id,
            committed_at=max([committed_at, *(dataset.entry.updated_at for dataset in written)]),
            datasets=pa.concat_tables([self._untouched(), _rows(written)]),
            schemas=self.schemas,
        )

    def snapshot(self) -> Snapshot:
        """Show the changes as a snapshot. Its version and commit id are still those of the base."""
        base = self.base
        root = self.root(version=base.version, commit_id=base.commit_id, committed_at=base.committed_at)
        manifests = {
            dataset.entry.manifest: dataset.manifest for dataset in self.staged.values() if dataset is not None
        }
        return Snapshot(base.lake, root, base.read_manifest, manifests)

    def _untouched(self) -> pa.Table:
        datasets = self.base.datasets
        touched = [entry.dataset_id for name in self.staged if (entry := self.base.find(name)) is not None]
        return datasets.filter(pc.invert(pc.is_in(datasets["dataset_id"], pa.array(touched, pa.string()))))


def schema_not_found(schema: str) -> LakehouseError:
    """Make the error for a schema that does not exist."""
    return LakehouseError(ErrorKind.NOT_FOUND, "schema_not_found", f"There is no schema {schema}.")


def _rows(datasets: list[StagedDataset]) -> pa.Table:
    rows = [
        {name: getattr(entry, name, None) for name in DATASETS.names}
        | {"schema": entry.name.schema, "name": entry.name.name, "state": "active"}
        for entry in (dataset.entry for dataset in datasets)
    ]
    return pa.Table.from_pylist(rows, DATASETS)
