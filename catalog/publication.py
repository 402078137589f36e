"""The immutable objects that a commit puts on the store before its swap: manifests, and the archived root.

A root is only ever replaced by somebody who made sure that its copy exists, so history has no gap. Writing the copy
late, or twice, does no harm: it has the same bytes.
"""

from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Executor
from dataclasses import replace

from .codec import encode_manifest
from .draft import Draft, StagedDataset
from .head import CatalogReader, Head
from .model import DatasetName
from .paths import archived_root_key
from .store import IfAbsent, ObjectStore, PreconditionFailedError, WriteConflictError

_CONFLICTING_CREATES = 5


class Publication:
    """Writes for one group, however often it has to be applied to a newer root.

    A manifest is written again only if it would come out differently: a big dataset must not lose every race because
    encoding its manifest takes longer than others need to commit to small ones.

    Attributes:
        contended: whether somebody else is committing to the lake, too: the base was archived already.
    """

    def __init__(self, store: ObjectStore, reader: CatalogReader, pool: Executor) -> None:
        self._store = store
        self._reader = reader
        self._pool = pool
        self._written: dict[DatasetName, tuple[Hashable, StagedDataset]] = {}
        self.contended = False

    def write(self, base: Head, draft: Draft, origins: Mapping[DatasetName, Hashable]) -> Draft:
        """Archive the base, write the draft's manifests, and return the draft that refers to what was written.

        Args:
            base: the root that the draft will replace.
            draft: what is to be committed.
            origins: per dataset, what its manifest was made of apart from the manifest before.
        """
        jobs: list[Callable[[], None]] = [lambda: self._archive(base)]
        for name, staged in draft.staged.items():
            if staged is None:
                continue
            origin = (draft.base.find(name), draft.base.epoch, origins[name])
            known = self._written.get(name)
            if known is not None and known[0] == origin:
                draft = draft.with_staged(name, known[1])
            else:
                jobs.append(self._write_manifest(name, origin, staged))
        self._run(jobs)
        return draft

    def _archive(self, base: Head) -> None:
        if not self._create(archived_root_key(base.snapshot.version), base.blob.data):
            self.contended = True

    def _write_manifest(self, name: DatasetName, origin: Hashable, staged: StagedDataset) -> Callable[[], None]:
        def job() -> None:
            manifest = replace(staged.manifest, objects=staged.manifest.objects.combine_chunks())
            self._create(staged.entry.manifest, encode_manifest(manifest))
            self._reader.learn_manifest(staged.entry.manifest, manifest)
            self._written[name] = (origin, staged)

        return job

    def _create(self, key: str, data: bytes) -> bool:
        """Create an object; tell whether it is new. If not, it has the same bytes."""
        for _ in range(_CONFLICTING_CREATES):
            try:
                self._store.put(key, data, IfAbsent())
            except PreconditionFailedError:
                return False
            except WriteConflictError:
                continue
            return True
        raise WriteConflictError(key)

    def _run(self, jobs: list[Callable[[], None]]) -> None:
        """Run all jobs in parallel, the first one on this thread; raise one of their errors after all have ended."""
        futures = [self._pool.submit(job) for job in jobs[1:]]
        try:
            jobs[0]()
        finally:
            errors = [future.exception() for future in futures]
        for error in errors:
            if error is not None:
                raise error
