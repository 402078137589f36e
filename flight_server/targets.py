"""From the parts of a name in a statement or a descriptor to one dataset of one mounted lake."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from catalog import DatasetName, ErrorKind, Lake, LakehouseError, ObjectReader, Snapshot, check_dataset_name


@dataclass(frozen=True, slots=True)
class MountedLake:
    """A lake together with the way its data objects are read."""

    lake: Lake
    reader: ObjectReader


@dataclass(frozen=True, slots=True)
class Defaults:
    """The lake and the schema that a name without them means."""

    catalog: str
    schema: str = "main"


@dataclass(frozen=True, slots=True)
class Target:
    """One dataset, which need not exist."""

    lake: str
    name: DatasetName


def resolve_target(parts: Sequence[str], defaults: Defaults, lakes: Mapping[str, MountedLake]) -> Target:
    """Resolve ``name``, ``schema.name``, ``lake.name`` or ``lake.schema.name``.

    Two parts name a schema of the default lake; when the first part is no such schema but a mounted lake, they name a
    dataset in the lake's schema ``main``, as DuckDB does.

    Raises:
        LakehouseError: the name is malformed (INVALID_ARGUMENT) or the lake is not mounted (NOT_FOUND).
    """
    match tuple(part.lower() for part in parts):
        case (name,):
            lake, schema = defaults.catalog, defaults.schema
        case (lake, name) if lake in lakes and lake not in lakes[defaults.catalog].lake.snapshot().schemas():
            schema = "main"
        case (schema, name):
            lake = defaults.catalog
        case (lake, schema, name):
            pass
        case _:
            raise LakehouseError(
                ErrorKind.INVALID_ARGUMENT, "invalid_name", "A dataset is named by one to three parts."
            )
    require_lake(lakes, lake)
    return Target(lake, check_dataset_name(DatasetName(schema, name)))


def require_lake(lakes: Mapping[str, MountedLake], name: str) -> MountedLake:
    """Return a mounted lake. Raises LakehouseError NOT_FOUND ``lake_not_found``."""
    try:
        return lakes[name]
    except KeyError:
        raise LakehouseError(ErrorKind.NOT_FOUND, "lake_not_found", f'There is no lake "{name}".') from None


class LakeSnapshots(Mapping[str, Snapshot]):
    """A snapshot per mounted lake, taken when it is first asked for and kept.

    Args:
        lakes: the mounted lakes.
        versions: versions to read; lakes that are not in it are read at their newest.

    Raises:
        LakehouseError: NOT_FOUND ``lake_not_found``, a version is asked for of a lake that is not mounted.
    """

    def __init__(self, lakes: Mapping[str, MountedLake], versions: Mapping[str, int] | None = None) -> None:
        self._lakes = lakes
        self._versions = versions or {}
        self._taken: dict[str, Snapshot] = {}
        self._own: dict[str, Snapshot] = {}
        for lake in self._versions:
            require_lake(lakes, lake)

    def __getitem__(self, lake: str) -> Snapshot:
        if lake in self._own:
            return self._own[lake]
        if lake not in self._taken:
            self._taken[lake] = self._lakes[lake].lake.snapshot(version=self._versions.get(lake))
        return self._taken[lake]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lakes)

    def __len__(self) -> int:
        return len(self._lakes)

    def with_writes(self, lake: str, snapshot: Snapshot) -> "LakeSnapshots":
        """Return the same snapshots, but for one that includes a transaction's own writes."""
        view = LakeSnapshots(self._lakes, self._versions)
        view._taken = self._taken  # shared: what is taken through one is kept for both
        view._own = {lake: snapshot}
        return view

    def versions(self) -> dict[str, int]:
        """Return the version of each snapshot that was taken so far."""
        return {lake: snapshot.version for lake, snapshot in self._taken.items()}
