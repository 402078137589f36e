"""One version of a lake, as a reader sees it. Immutable, and safe to share between threads."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from difflib import get_close_matches
from functools import cached_property
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from .errors import ErrorKind, LakehouseError
from .model import DatasetEntry, DatasetName, Manifest, Root

ReadManifest = Callable[[str], Manifest]

_CLOSE = 0.75
_MOST_COMPARED = 10_000
"""How alike a name is that may be meant (difflib's ratio), and how many names are looked at."""


class Snapshot:
    """One version of a lake: what exists in it, and the way to each dataset's manifest.

    Args:
        lake: name of the lake.
        root: the root that the snapshot shows.
        read_manifest: reads (and caches) a manifest by its key.
        staged: manifests of a transaction that are not on the store yet, by key.
    """

    def __init__(
        self, lake: str, root: Root, read_manifest: ReadManifest, staged: Mapping[str, Manifest] | None = None
    ) -> None:
        self.lake = lake
        self.root = root
        self.read_manifest = read_manifest
        self._staged = staged or {}
        self._found: dict[DatasetName, DatasetEntry] = {}

    @property
    def version(self) -> int:
        """Version of the root; a transaction's own snapshot has the version that it began with."""
        return self.root.version

    @property
    def commit_id(self) -> str:
        """Id of the commit that made this version."""
        return self.root.commit_id

    @property
    def committed_at(self) -> datetime:
        """Time of that commit; strictly rises with the version."""
        return self.root.committed_at

    @property
    def epoch(self) -> int:
        """Epoch that new data objects have to carry in their keys."""
        return self.root.epoch

    @property
    def datasets(self) -> pa.Table:
        """Table of DATASETS."""
        return self.root.datasets

    def schemas(self) -> list[str]:
        """List the names of all schemas, sorted."""
        return sorted(self.root.schemas)

    def entries(self, schema: str | None = None) -> list[DatasetEntry]:
        """List the datasets of one schema or of all, sorted by name."""
        datasets = self.datasets
        if schema is not None:
            datasets = datasets.filter(pc.equal(datasets["schema"], schema))
        return sorted(_entries(datasets), key=lambda entry: entry.name)

    def names(self) -> Iterator[DatasetName]:
        """Yield the names of all datasets, in no order."""
        return (DatasetName(*parts) for parts in self._rows)

    def find(self, name: DatasetName) -> DatasetEntry | None:
        """Look a dataset up by its (folded) name."""
        if name not in self._found:
            row = self._rows.get((name.schema, name.name))
            if row is None:
                return None
            self._found[name] = _entries(self.datasets.slice(row, 1))[0]
        return self._found[name]

    def entry(self, name: DatasetName) -> DatasetEntry:
        """Look a dataset up by its (folded) name; raise NOT_FOUND if there is none."""
        entry = self.find(name)
        if entry is None:
            raise dataset_not_found(name, self.names())
        return entry

    def manifest(self, entry: DatasetEntry) -> Manifest:
        """Read the manifest of an entry of this snapshot."""
        return self._staged.get(entry.manifest) or self.read_manifest(entry.manifest)

    @cached_property
    def _rows(self) -> dict[tuple[str, str], int]:
        names = zip(self.datasets["schema"].to_pylist(), self.datasets["name"].to_pylist(), strict=True)
        return {name: row for row, name in enumerate(names)}


def dataset_not_found(
    name: DatasetName, known: Iterable[DatasetName], written: str | None = None, lake: str | None = None
) -> LakehouseError:
    """Make the error for a dataset that does not exist, which names the one that may be meant.

    Args:
        name: what does not exist.
        known: what exists.
        written: the name as the caller wrote it, if that is another text.
        lake: the lake to name together with the dataset that may be meant.
    """
    message = f"There is no dataset {written or name}."
    meant = _similar(name, [one for one in islice(known, _MOST_COMPARED) if one != name])
    if meant is not None:
        message += f" Did you mean {f'{lake}.' if lake else ''}{meant}?"
    return LakehouseError(ErrorKind.NOT_FOUND, "dataset_not_found", message)


def _similar(name: DatasetName, others: list[DatasetName]) -> DatasetName | None:
    """Return a dataset of the same schema with a similar name, else one of the same name in another schema."""
    close = get_close_matches(name.name, [one.name for one in others if one.schema == name.schema], 1, _CLOSE)
    if close:
        return DatasetName(name.schema, close[0])
    return next((one for one in others if one.name == name.name), None)


def _entries(datasets: pa.Table) -> list[DatasetEntry]:
    columns = {name: datasets[name].to_pylist() for name in datasets.column_names}
    names = [DatasetName(*parts) for parts in zip(columns.pop("schema"), columns.pop("name"), strict=True)]
    del columns["state"]
    return [
        DatasetEntry(name=name, **dict(zip(columns, values, strict=True)))
        for name, *values in zip(names, *columns.values(), strict=True)
    ]
