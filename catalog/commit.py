"""The commit: how a lake gets from one version to the next.

``catalog/root.parquet`` is the only object that is ever overwritten, and :meth:`Committer.publish` is the only
function that overwrites it. Everything else is written before, under keys that nobody refers to yet. So a commit
happens when the store accepts the new root in place of the very root that it was built on, and at no other moment.

Any other answer than success is *unclear*: the request may have landed, may still land, or never will. The root itself
tells, because our root could only ever become the version after its base:

    the root still is the base           nothing landed so far: send the identical request again (of all copies in
                                         flight at most one can match the base's etag)
    version base + 1 has our commit id   it landed: acknowledge
    version base + 1 has another one     it did not and never can: apply the changes again, on the newest root
    version base + 1 is gone             nobody can tell any more: outcome unknown

No path deletes anything. What a failed commit leaves behind is collected as garbage, and only ever there.

One thread per lake commits (group commit): whatever became ready while a swap was in flight goes into the next one.
Each request of a group is applied on the state that the one before left, and each gets its own answer.
"""

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from uuid6 import uuid7

from .codec import check_writable, encode_root
from .draft import Draft
from .errors import ErrorKind, LakehouseError
from .exactly_once import CommitContext
from .head import CatalogReader, Head, store_unavailable
from .model import CommitResult, DatasetEntry, DatasetName, Root
from .paths import root_key
from .proposal import Outcome, Proposal
from .publication import Publication
from .settings import CommitSettings
from .store import Blob, IfMatch, ObjectStore, StoreError

_PARALLEL_WRITES = 8
_COURTESY = 10
"""How many times as long as its own attempt took a committer leaves to others, at most."""

_LAST_LOOK_SECONDS = 1.0
"""Time after its deadline in which the committer may still find out what became of a commit."""

_logger = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Request:
    """A proposal on its way, and the future that its caller waits for."""

    proposal: Proposal
    deadline: float
    future: Future[CommitResult] = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class Swap:
    """A new root, ready to replace the one that it was built on."""

    base: Head
    root: Root
    data: bytes
    draft: Draft
    outcomes: list[tuple[Request, Outcome]]


class Committer:
    """Publishes the commits of one lake, group after group, on a thread of its own."""

    def __init__(
        self,
        store: ObjectStore,
        reader: CatalogReader,
        settings: CommitSettings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._reader = reader
        self._settings = settings
        self._clock = clock
        self._pool = ThreadPoolExecutor(_PARALLEL_WRITES, thread_name_prefix="lakehouse-catalog")
        self._queue: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="lakehouse-committer", daemon=True)
        self._thread.start()

    def commit(self, proposal: Proposal) -> CommitResult:
        """Commit a proposal and wait for its outcome.

        Raises:
            LakehouseError: a definite failure, or OUTCOME_UNKNOWN if the commit has landed or may land yet.
        """
        if not self._thread.is_alive():
            raise LakehouseError(ErrorKind.UNAVAILABLE, "lake_closed", "The server is shutting down.")
        request = Request(proposal, time.monotonic() + self._settings.deadline_seconds)
        self._queue.put(request)
        # The committer itself keeps the deadline. It may be late if a call of the store hangs: no reason to hang too.
        try:
            return request.future.result(self._settings.deadline_seconds + _LAST_LOOK_SECONDS)
        except TimeoutError:
            if request.future.cancel():
                raise store_unavailable() from None
            raise outcome_unknown() from None

    def close(self) -> None:
        """Finish what is queued, then stop."""
        self._queue.put(None)
        self._thread.join()
        self._pool.shutdown()

    def publish(self, group: list[Request]) -> float:
        """Commit a group of requests with one swap of the root, and give each its own outcome.

        Returns:
            Seconds to leave to other servers that are trying to commit, too. Without, the one that has just committed
            would always be the first again, because it has everything at hand.
        """
        commit_id = str(uuid7())
        publication = Publication(self._store, self._reader, self._pool)
        swap: Swap | None = None  # while it is set, the store was asked to swap and nobody knows yet whether it did
        failure = store_unavailable  # what to tell those whose time is over while nothing is in doubt
        for began in self._attempts(group):
            try:
                head = self._reader.head()
                if swap is not None and self._landed(swap, head):
                    _acknowledge(swap)
                    break
                if swap is not None and head.blob.etag != swap.base.blob.etag:
                    swap, failure = None, _contention
                if swap is None:
                    _fail(_late(group, began), failure)
                    swap = self._prepare(head, group, commit_id, publication)
                if swap.draft.changed:
                    etag = self._store.put(root_key(), swap.data, IfMatch(swap.base.blob.etag))
                    self._reader.learn(swap.root, Blob(swap.data, etag))
                _acknowledge(swap)
                return _COURTESY * (time.monotonic() - began) if publication.contended else 0.0
            except StoreError as error:
                _logger.debug("attempt to commit %s: %r", commit_id, error)
                failure = store_unavailable
            except LakehouseError as error:
                failure = partial(LakehouseError, error.kind, error.code, error.message)
                if error.kind is not ErrorKind.UNAVAILABLE:
                    break
            _fail(_late(group, began), outcome_unknown if swap else failure)
        _fail(group, outcome_unknown if swap else failure)
        return 0.0

    def _landed(self, swap: Swap, head: Head) -> bool:
        """Tell whether the version that our swap would have made is ours."""
        if head.blob.etag == swap.base.blob.etag:
            return False
        version = swap.root.version
        made = head.snapshot if head.snapshot.version == version else self._reader.archived(version)
        if made is None:
            raise outcome_unknown()
        return made.commit_id == swap.root.commit_id

    def _prepare(self, base: Head, group: list[Request], commit_id: str, publication: Publication) -> Swap:
        """Apply the group to a root, and write all that the new root will refer to.

        Nothing is in doubt here, so a request that cannot be applied fails for good, and alone.
        """
        check_writable(base.snapshot.root)
        at = max(self._clock(), base.snapshot.committed_at + timedelta(microseconds=1))
        version = base.snapshot.version + 1
        context = CommitContext(commit_id, version, at, "", self._settings)
        draft = Draft.on(base.snapshot)
        outcomes: list[tuple[Request, Outcome]] = []
        origins: dict[DatasetName, tuple[object, ...]] = {}
        for request in _pending(group):
            try:
                outcome = request.proposal.apply(draft, context)
            except LakehouseError as error:
                if error.kind is ErrorKind.UNAVAILABLE:
                    raise
                request.future.set_exception(error)
                continue
            draft = outcome.draft
            outcomes.append((request, outcome))
            for name in request.proposal.names:
                origins[name] = (*origins.get(name, ()), id(request), version if request.proposal.keyed else 0)
        if draft.changed:
            draft = publication.write(base, draft, origins)
        root = draft.root(version=version, commit_id=commit_id, committed_at=at)
        return Swap(base, root, encode_root(root), draft, outcomes)

    def _attempts(self, group: list[Request]) -> Iterator[float]:
        """Yield the time at which an attempt begins, for as long as anybody waits. The last look is past the deadline.

        Pauses have full jitter and double at first. After a second they get shorter again: who has waited longer than
        others comes first.
        """
        began, settings = time.monotonic(), self._settings
        for attempt in range(settings.attempts):
            yield time.monotonic()
            waiting = _pending(group)
            if not waiting:
                return
            waited = time.monotonic() - began
            bound = min(settings.backoff_max_seconds, settings.backoff_initial_seconds * 2.0 ** min(attempt, 30))
            pause = _up_to(bound / max(1.0, waited))
            time.sleep(max(0.0, min(pause, max(request.deadline for request in waiting) - time.monotonic())))

    def _run(self) -> None:
        while group := self._next_group():
            try:
                time.sleep(_up_to(self.publish(group)))
            except Exception:
                _logger.exception("the committer failed")
            _fail(group, outcome_unknown)

    def _next_group(self) -> list[Request]:
        """Wait for a request, then take all that are ready; nothing means stop."""
        group: list[Request] = []
        while len(group) < self._settings.group_commits:
            try:
                request = self._queue.get(block=not group)
            except queue.Empty:
                break
            if request is None:
                self._queue.put(None)
                break
            if request.future.set_running_or_notify_cancel():
                group.append(request)
        return group


def _up_to(seconds: float) -> float:
    return random.uniform(0, seconds)  # noqa: S311 (jitter, no secret)


def outcome_unknown() -> LakehouseError:
    """Make the error for a commit that has landed or may land yet."""
    return LakehouseError(
        ErrorKind.OUTCOME_UNKNOWN,
        "commit_outcome_unknown",
        "The commit may have landed or may land yet. Repeat it with the same idempotency key.",
    )


def _contention() -> LakehouseError:
    return LakehouseError(
        ErrorKind.CONFLICT, "commit_contention", "Other servers committed first, again and again: repeat the commit."
    )


def _pending(group: list[Request]) -> list[Request]:
    return [request for request in group if not request.future.done()]


def _late(group: list[Request], now: float) -> list[Request]:
    return [request for request in group if request.deadline <= now]


def _fail(group: list[Request], error: Callable[[], LakehouseError]) -> None:
    for request in _pending(group):
        request.future.set_exception(error())


def _acknowledge(swap: Swap) -> None:
    """Give each request its own answer: the datasets as it left them, the first answer to what was seen before."""
    for request, outcome in swap.outcomes:
        if request.future.done():
            continue
        made = swap.root if swap.draft.changed else swap.base.snapshot.root
        first = outcome.first if outcome.replayed else None
        request.future.set_result(
            CommitResult(
                commit_id=first.commit_id if first else made.commit_id,
                version=first.snapshot if first else made.version,
                committed_at=first.committed_at if first else made.committed_at,
                replayed=outcome.replayed,
                rows=outcome.rows,
                datasets=tuple(_as_written(entry, swap.draft) for entry in outcome.datasets),
                first=first,
            )
        )


def _as_written(entry: DatasetEntry, draft: Draft) -> DatasetEntry:
    """Point an entry to the manifest that was written for the whole group."""
    staged = draft.staged.get(entry.name)
    return entry if staged is None else replace(entry, manifest=staged.entry.manifest)
