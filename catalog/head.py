"""Reads roots and manifests, and remembers them.

The newest root is asked for with a conditional GET every time, so freshness costs one small request. Everything
else in the catalog is immutable under its key and cached without a second thought.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass

from .codec import decode_manifest, decode_root
from .errors import ErrorKind, LakehouseError
from .model import Manifest, Root
from .paths import archived_root_key, root_key
from .snapshot import Snapshot
from .store import Blob, ObjectNotFoundError, ObjectStore, StoreError

_CACHED_MANIFEST_BYTES = 64 * 1024 * 1024
_CACHED_SNAPSHOTS = 32
_RECORD_BYTES = 400


@dataclass(frozen=True, slots=True)
class Head:
    """The newest root: decoded, and as the store holds it."""

    snapshot: Snapshot
    blob: Blob


class CatalogReader:
    """Reads one lake's catalog. Safe for use from several threads.

    What the store fails to answer is UNAVAILABLE ``store_unavailable``; what cannot be understood is INTERNAL
    ``catalog_corrupt``.
    """

    def __init__(self, lake: str, store: ObjectStore) -> None:
        self._lake = lake
        self._store = store
        self._head: Head | None = None
        self._snapshots: OrderedDict[int, Snapshot] = OrderedDict()
        self._manifests: OrderedDict[str, tuple[Manifest, int]] = OrderedDict()
        self._manifest_bytes = 0
        self._lock = threading.Lock()

    def head(self) -> Head:
        """Read the newest root."""
        known = self._head
        try:
            blob = self._read_root(known)
        except ObjectNotFoundError as error:
            raise LakehouseError(
                ErrorKind.INTERNAL, "catalog_corrupt", f"The catalog object {root_key()} is gone."
            ) from error
        except StoreError as error:
            raise store_unavailable() from error
        if blob is None:
            assert known is not None
            return known
        return self.learn(decode_root(blob.data, root_key()), blob)

    def _read_root(self, known: Head | None) -> Blob | None:
        if known is None:
            return self._store.get(root_key())
        return self._store.get_if_changed(root_key(), known.blob.etag)

    def learn(self, root: Root, blob: Blob) -> Head:
        """Remember a root that was just read or written."""
        head = Head(Snapshot(self._lake, root, self.manifest), blob)
        with self._lock:
            # An answer that was overtaken on its way must not hide a commit of our own.
            if self._head is None or self._head.snapshot.version < root.version:
                self._head = head
        return head

    def archived(self, version: int) -> Snapshot | None:
        """Read a former root; None if the store has none of that version (any more)."""
        with self._lock:
            if version in self._snapshots:
                self._snapshots.move_to_end(version)
                return self._snapshots[version]
        key = archived_root_key(version)
        try:
            root = decode_root(self._store.get(key).data, key)
        except ObjectNotFoundError:
            return None
        except StoreError as error:
            raise store_unavailable() from error
        snapshot = Snapshot(self._lake, root, self.manifest)
        with self._lock:
            self._snapshots[version] = snapshot
            if len(self._snapshots) > _CACHED_SNAPSHOTS:
                self._snapshots.popitem(last=False)
        return snapshot

    def manifest(self, key: str) -> Manifest:
        """Read a manifest."""
        with self._lock:
            if key in self._manifests:
                self._manifests.move_to_end(key)
                return self._manifests[key][0]
        try:
            manifest = decode_manifest(self._store.get(key).data, key)
        except ObjectNotFoundError as error:
            raise LakehouseError(
                ErrorKind.NOT_FOUND, "snapshot_expired", "The snapshot is too old: its catalog objects were collected."
            ) from error
        except StoreError as error:
            raise store_unavailable() from error
        self.learn_manifest(key, manifest)
        return manifest

    def learn_manifest(self, key: str, manifest: Manifest) -> None:
        """Remember a manifest that was just read or written; forget the least recently used ones."""
        records = len(manifest.log) + len(manifest.ingest_keys) + len(manifest.producers)
        size = int(manifest.objects.nbytes) + _RECORD_BYTES * (10 + records)
        with self._lock:
            if key in self._manifests:
                return
            self._manifests[key] = (manifest, size)
            self._manifest_bytes += size
            while self._manifest_bytes > _CACHED_MANIFEST_BYTES and len(self._manifests) > 1:
                _, (_, forgotten) = self._manifests.popitem(last=False)
                self._manifest_bytes -= forgotten


def store_unavailable() -> LakehouseError:
    """Make the error for a store that does not answer."""
    return LakehouseError(ErrorKind.UNAVAILABLE, "store_unavailable", "The object store cannot be reached.")
