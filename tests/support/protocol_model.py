"""A model of the commit protocol, small enough that every order of events can be tried.

Writers upload one object each and commit it by swapping the root; a collector raises the floor and deletes. Every swap may
succeed, be lost, lose its answer, or arrive after its writer has given up waiting; a writer may stop anywhere for ever. The rules
are those of catalog/commit.py and of garbage collection; ``broken`` takes one of them away.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

BROKEN = {
    "cleanup": "a writer deletes its object when the swap failed",
    "no resolve": "412 is taken for a lost race, and the rows are uploaded again under a new key",
    "no floor": "the floor is raised, but commits do not check it",
    "no epochs": "what no root refers to is deleted, whatever its epoch",
    "no condition": "the store ignores If-Match",
    "no archive check": "whether a swap landed is looked up in the newest root only",
}


class Stored(NamedTuple):
    """A data object: whose rows it has, which upload of theirs it is, and the epoch in its key."""

    writer: int
    upload: int
    epoch: int


class Root(NamedTuple):
    version: int
    author: int  # the writer whose commit it is; -1 for the collector
    epoch: int
    floor: int
    objects: frozenset[Stored]


class Swap(NamedTuple):
    """A request to replace the root, somewhere between a writer and the store."""

    writer: int
    base: int
    objects: frozenset[Stored]


class Writer(NamedTuple):
    phase: str = "begin"  # begin, upload, swap, wait, refused, unclear; acknowledged, unknown, failed
    base: Root | None = None
    held: Stored | None = None
    uploads: int = 0
    sent: int = 0


@dataclass(frozen=True, slots=True)
class State:
    roots: tuple[Root, ...]
    stored: frozenset[Stored]
    flying: tuple[Swap, ...]
    writers: tuple[Writer, ...]
    doomed: frozenset[Stored] | None
    rounds: int

    @property
    def root(self) -> Root:
        return self.roots[-1]


@dataclass(frozen=True, slots=True)
class Model:
    """The protocol with ``writers`` writers and ``rounds`` rounds of garbage collection."""

    writers: int
    rounds: int
    broken: str = ""
    copies: int = 2

    def start(self) -> State:
        root = Root(0, -1, 1, 1, frozenset())
        return State((root,), frozenset(), (), (Writer(),) * self.writers, None, self.rounds)

    def successors(self, state: State) -> Iterator[tuple[str, State]]:
        for number, writer in enumerate(state.writers):
            for event, after in self._writer(state, number, writer):
                yield f"writer {number} {event}", after
        for swap in dict.fromkeys(state.flying):
            yield from self._network(state, swap)
        yield from self._collector(state)

    def _writer(self, state: State, number: int, writer: Writer) -> Iterator[tuple[str, State]]:
        match writer.phase:
            case "begin":
                yield "reads the root", _with(state, number, writer._replace(phase="upload", base=state.root))
            case "upload":
                held = Stored(number, writer.uploads, writer.base.epoch)
                after = _with(state, number, writer._replace(phase="swap", held=held, uploads=writer.uploads + 1))
                yield "uploads", replace(after, stored=state.stored | {held})
            case "swap":
                yield from self._send(state, number, writer)
            case "refused" | "unclear":
                yield from self._resolve(state, number, writer)

    def _send(self, state: State, number: int, writer: Writer) -> Iterator[tuple[str, State]]:
        if writer.held.epoch < writer.base.floor and self.broken != "no floor":
            yield "is too late", _with(state, number, writer._replace(phase="failed"))
        elif writer.sent < self.copies:
            swap = Swap(number, writer.base.version, writer.base.objects | {writer.held})
            after = _with(state, number, writer._replace(phase="wait", sent=writer.sent + 1))
            yield "asks for the swap", replace(after, flying=tuple(sorted((*state.flying, swap), key=repr)))
        else:
            yield "gives up", _with(state, number, writer._replace(phase="unknown"))

    def _resolve(self, state: State, number: int, writer: Writer) -> Iterator[tuple[str, State]]:
        if self.broken == "cleanup":
            after = _with(state, number, writer._replace(phase="failed"))
            yield "cleans up", replace(after, stored=state.stored - {writer.held})
            return
        if self.broken == "no resolve" and writer.phase == "refused":
            yield "begins again", _with(state, number, writer._replace(phase="begin", sent=0))
            return
        if state.root.version == writer.base.version:
            yield "sees its base", _with(state, number, writer._replace(phase="swap"))
            return
        made = state.roots[-1 if self.broken == "no archive check" else writer.base.version + 1]
        if made.author == number:
            yield "finds its commit", _with(state, number, writer._replace(phase="acknowledged"))
        elif self.broken == "no archive check":
            yield "takes it for lost", _with(state, number, writer._replace(phase="failed"))
        else:
            yield "rebases", _with(state, number, writer._replace(phase="swap", base=state.root, sent=0))

    def _network(self, state: State, swap: Swap) -> Iterator[tuple[str, State]]:
        flying = list(state.flying)
        flying.remove(swap)
        arrived = replace(state, flying=tuple(flying))
        holds = swap.base == state.root.version or self.broken == "no condition"
        if holds:
            root = Root(len(state.roots), swap.writer, state.root.epoch, state.root.floor, swap.objects)
            arrived = replace(arrived, roots=(*state.roots, root))
        writer = state.writers[swap.writer]
        if writer.phase != "wait":
            yield f"a late swap of {swap.writer} arrives", arrived
            return
        answer = "acknowledged" if holds else "refused"
        yield f"the store answers {swap.writer}", _with(arrived, swap.writer, writer._replace(phase=answer))
        unclear = writer._replace(phase="unclear")
        yield f"the answer to {swap.writer} is lost", _with(arrived, swap.writer, unclear)
        yield f"{swap.writer} stops waiting", _with(state, swap.writer, unclear)

    def _collector(self, state: State) -> Iterator[tuple[str, State]]:
        if state.doomed is None and state.rounds:
            root = state.root
            if self.broken != "no epochs":
                root = Root(len(state.roots), -1, root.epoch + 1, root.epoch + 1, root.objects)
                state = replace(state, roots=(*state.roots, root))
            dead = state.stored - root.objects
            doomed = frozenset(one for one in dead if one.epoch < root.floor or self.broken == "no epochs")
            yield "the floor rises", replace(state, doomed=doomed, rounds=state.rounds - 1)
        elif state.doomed:
            for one in sorted(state.doomed):
                left = state.doomed - {one}
                yield f"{one} is deleted", replace(state, stored=state.stored - {one}, doomed=left or None)
        elif state.doomed is not None:
            yield "nothing is left to delete", replace(state, doomed=None)


def violation(state: State) -> str | None:
    """Say what must never be and is."""
    objects = state.root.objects
    if not objects <= state.stored:
        return "dangling reference"
    owners = [one.writer for one in objects]
    if len(owners) != len(set(owners)):
        return "duplicate rows"
    for number, writer in enumerate(state.writers):
        if writer.phase == "acknowledged" and number not in owners:
            return "acknowledged rows lost"
        if writer.phase == "failed" and number in owners:
            return "failed rows visible"
    return None


def search(model: Model, limit: int = 2_000_000) -> tuple[str | None, list[str], int]:
    """Try every order of events, the shortest first.

    Returns:
        The violation or None, the events that lead to it, and the number of states seen.
    """
    start = model.start()
    parents: dict[State, tuple[State, str] | None] = {start: None}
    ahead = deque([start])
    while ahead:
        state = ahead.popleft()
        if found := violation(state):
            trace = []
            while (step := parents[state]) is not None:
                state, event = step
                trace.append(event)
            return found, trace[::-1], len(parents)
        for event, after in model.successors(state):
            if after not in parents:
                parents[after] = (state, event)
                ahead.append(after)
        assert len(parents) < limit, "the model is too big"
    return None, [], len(parents)


def _with(state: State, number: int, writer: Writer) -> State:
    writers = state.writers
    return replace(state, writers=(*writers[:number], writer, *writers[number + 1 :]))
