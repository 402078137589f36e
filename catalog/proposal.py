"""What a transaction asks the committer for: its changes, and what must still hold when they are applied."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .changes import Change
from .draft import Draft
from .errors import ErrorKind, LakehouseError
from .exactly_once import CommitContext
from .model import DatasetEntry, DatasetName, IngestKey

Seen = tuple[str, int] | None
"""What a pinned transaction saw of a dataset: its id and version, or that there was none."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a proposal on one draft.

    Attributes:
        rows: rows that it added, or had added when it was seen first.
        replayed: nothing was done because it was committed before.
        first: the first answer, if it is remembered.
        datasets: entries of the datasets that it touched and that still exist.
    """

    draft: Draft
    rows: int
    replayed: bool
    first: IngestKey | None
    datasets: tuple[DatasetEntry, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """The changes of one transaction.

    Attributes:
        pinned: datasets that must still be what the transaction saw, or the proposal conflicts.
    """

    changes: tuple[Change, ...]
    author: str = ""
    pinned: Mapping[DatasetName, Seen] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[DatasetName]:
        """Datasets that the changes touch."""
        return frozenset(change.name for change in self.changes if isinstance(change.name, DatasetName))

    @property
    def keyed(self) -> bool:
        """Whether an idempotency key is among it, so that the manifest remembers the answer."""
        rows = (getattr(change, "rows", None) for change in self.changes)
        return any(part is not None and part.idempotency is not None for part in rows)

    def apply(self, draft: Draft, context: CommitContext) -> Outcome:
        """Apply all changes to a draft, or raise what makes one of them impossible.

        A conflict gives way to a replay: whoever repeats a transaction that landed gets its first answer.
        """
        conflict = self._conflict(draft)
        try:
            outcome = self._fold(draft, replace(context, author=self.author))
        except LakehouseError as error:
            raise conflict or error from error
        if conflict is not None and not outcome.replayed:
            raise conflict
        return outcome

    def _fold(self, draft: Draft, context: CommitContext) -> Outcome:
        newest, added, replayed_rows, first, replayed = draft, 0, 0, None, False
        for change in self.changes:
            applied = change.apply(newest, context)
            newest = applied.draft
            if applied.replayed:
                replayed, first = True, applied.first or first
                replayed_rows += applied.rows
            else:
                added += applied.rows
        replayed = replayed and newest is draft
        rows = replayed_rows if replayed else added
        entries = (newest.find(name) for name in sorted(self.names) if name.schema in newest.schemas)
        return Outcome(newest, rows, replayed, first, tuple(entry for entry in entries if entry is not None))

    def _conflict(self, draft: Draft) -> LakehouseError | None:
        for name, seen in self.pinned.items():
            entry = draft.find(name) if name.schema in draft.schemas else None
            if (None if entry is None else (entry.dataset_id, entry.version)) != seen:
                return LakehouseError(
                    ErrorKind.CONFLICT,
                    "commit_conflict",
                    f"The dataset {name} was changed by another commit meanwhile.",
                )
        return None
