"""Looks at a lake from outside and checks what must hold in every one, whatever happened."""

import itertools

from catalog import DatasetName, MemoryStore, Snapshot
from catalog.head import CatalogReader


def audit(store: MemoryStore) -> Snapshot:
    """Check the whole history of a lake; return its newest version."""
    newest = CatalogReader("lake", store).head().snapshot
    reader = CatalogReader("lake", store)
    history = [reader.archived(version) for version in range(newest.version)]
    assert None not in history, "a root was replaced that nobody had archived"
    history.append(newest)
    for number, snapshot in enumerate(history):
        assert snapshot.version == number
        for entry in snapshot.entries():
            manifest = snapshot.manifest(entry)
            assert manifest.row_count == entry.row_count
            assert (manifest.dataset_id, manifest.version) == (entry.dataset_id, entry.version)
            assert manifest.updated_at == entry.updated_at <= snapshot.committed_at
            keys = manifest.objects["key"].to_pylist()
            assert len(keys) == len(set(keys))
            numbers = [record.version for record in manifest.log]
            assert numbers == list(range(entry.version - len(numbers) + 1, entry.version + 1))
    for before, after in itertools.pairwise(history):
        assert before.commit_id == after.root.parent_commit_id
        assert before.committed_at < after.committed_at
    return newest


def keys_of(snapshot: Snapshot, name: DatasetName) -> list[str]:
    """List the data objects of a dataset, which may be missing."""
    entry = snapshot.find(name)
    return [] if entry is None else snapshot.manifest(entry).objects["key"].to_pylist()
