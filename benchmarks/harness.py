"""How things are measured: contestants take turns in one run, and ratios come from neighbours in time."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Work = Callable[[], object]
"""What is timed. What it returns is dropped outside the measured time."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A measured quantity: the median of its samples, the least and the greatest."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Spread":
        """Return the spread of samples; there is at least one."""
        return cls(statistics.median(samples), min(samples), max(samples))

    def show(self, digits: int = 2) -> str:
        """Return the median, and the range if there is one."""
        if self.least == self.greatest:
            return f"{self.median:,.{digits}f}"
        return f"{self.median:,.{digits}f} ({self.least:,.{digits}f} to {self.greatest:,.{digits}f})"


@dataclass(frozen=True, slots=True)
class Target:
    """The mark that a value has to reach: at least so much, or at most."""

    value: float
    unit: str = ""
    at_most: bool = False

    def reached_by(self, measured: float) -> bool:
        """Whether a value reaches the mark."""
        return measured <= self.value if self.at_most else measured >= self.value

    def show(self) -> str:
        """Return the mark in words."""
        return f"{'≤' if self.at_most else '≥'} {self.value:g}{self.unit and f' {self.unit}'}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the report.

    Attributes:
        what: the work.
        ours: what the server did, with unit.
        against: what it is compared with, or a dash.
        theirs: what that did, with unit.
        value: what the mark is about: a ratio, or a quantity in the unit of the mark.
        target: the mark, or None for what is only told.
    """

    what: str
    ours: str
    against: str
    theirs: str
    value: Spread
    target: Target | None = None


def take_turns(contestants: Mapping[str, Work], rounds: int, warmups: int = 1) -> dict[str, list[float]]:
    """Time each contestant once per round, in an order that rotates; return the seconds by name.

    Drift of the machine then hits all of them alike, and sample n of one is a neighbour in time of sample n of another.
    """
    for _ in range(warmups):
        for work in contestants.values():
            work()
    names = list(contestants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            seconds[name].append(timed(contestants[name]))
    return seconds


def timed(work: Work) -> float:
    """Return the seconds that some work takes."""
    gc.collect()
    began = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - began
    del result
    return seconds


def slower_of(seconds: Mapping[str, Sequence[float]], names: Sequence[str]) -> str:
    """Return which of these took longer at the median."""
    return max(names, key=lambda name: statistics.median(seconds[name]))


def ratio(limit: Sequence[float], ours: Sequence[float]) -> Spread:
    """Return our speed as a part of the limit's, round by round: 1 is as fast, less is slower."""
    return Spread.of([theirs / own for theirs, own in zip(limit, ours, strict=True)])


def slowdown(limit: Sequence[float], ours: Sequence[float]) -> Spread:
    """Return our time in units of the limit's, round by round: 1 is as fast, more is slower."""
    return Spread.of([own / theirs for theirs, own in zip(limit, ours, strict=True)])


def rate(amount: float, seconds: Sequence[float], unit: str, digits: int = 2) -> str:
    """Return an amount per second, at the median and over the range."""
    return f"{Spread.of([amount / one for one in seconds]).show(digits)} {unit}"
