"""Instances that wait for statements, and statements that wait for instances."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from catalog import ErrorKind, LakehouseError

from .instance import Instance, InstanceLimits
from .spill import SpillFolder


class Slots:
    """How many statements run at once, and how many may wait for how long.

    Args:
        running: statements that hold a slot at the same time.
        waiting: statements that wait for one; more are turned away at once.
        wait_seconds: how long each waits.
    """

    def __init__(self, running: int, waiting: int, wait_seconds: float) -> None:
        self._free = running
        self._waiting_limit = waiting
        self._wait_seconds = wait_seconds
        self._waiting = 0
        self._changed = threading.Condition()

    def acquire(self) -> None:
        """Take a slot.

        Raises:
            LakehouseError: RESOURCE_EXHAUSTED ``server_busy``.
        """
        with self._changed:
            if self._free == 0:
                self._wait()
            self._free -= 1

    def release(self) -> None:
        """Give a slot back."""
        with self._changed:
            self._free += 1
            self._changed.notify()

    def is_crowded(self) -> bool:
        """Whether a statement waits for a slot."""
        with self._changed:
            return self._waiting > 0

    def _wait(self) -> None:
        if self._waiting >= self._waiting_limit:
            raise _busy()
        self._waiting += 1
        try:
            if not self._changed.wait_for(lambda: self._free > 0, self._wait_seconds):
                raise _busy()
        finally:
            self._waiting -= 1


class MemoryShares:
    """Divides the engine's memory between running statements so that the sum of their limits never exceeds it.

    One half is dealt out evenly, so that every statement gets something; of the other, each statement gets half of what
    is left. A statement alone may use a little more than a quarter.
    """

    def __init__(self, total_bytes: int, statements: int) -> None:
        self._even = total_bytes // 2 // statements
        self._left = total_bytes // 2
        self._lock = threading.Lock()

    @contextmanager
    def share(self) -> Iterator[int]:
        """Hold a share; give its bytes."""
        with self._lock:
            extra = self._left // 2
            self._left -= extra
        try:
            yield self._even + extra
        finally:
            with self._lock:
                self._left += extra


class InstancePool:
    """Warm instances; the one that was used last is used next, for it has the freshest bindings.

    Args:
        limits: of each instance.
        capacity: instances that are kept when nobody uses them.
        spill_directory: where spill folders are made; None stands for the system's temporary folder.
    """

    def __init__(self, limits: InstanceLimits, capacity: int, spill_directory: Path | None) -> None:
        self._limits = limits
        self._capacity = capacity
        self._spill = SpillFolder(spill_directory)
        self._numbers = count()
        self._idle: list[Instance] = []
        self._closed = False
        self._lock = threading.Lock()

    def take(self) -> Instance:
        """Take an instance out of the pool, or make one."""
        with self._lock:
            if self._closed:
                raise LakehouseError(ErrorKind.UNAVAILABLE, "server_stopping", "The server is shutting down.")
            if self._idle:
                return self._idle.pop()
            number = next(self._numbers)
        return Instance(self._limits, self._spill.path / str(number))

    def put(self, instance: Instance, *, healthy: bool) -> None:
        """Return an instance; one that is not healthy, or that the pool has no room for, is closed."""
        instance.release()
        if healthy:
            with self._lock:
                if not self._closed and len(self._idle) < self._capacity:
                    self._idle.append(instance)
                    return
        instance.close()

    def close(self) -> None:
        """Close all idle instances and remove the spill folder. Idempotent."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for instance in idle:
            instance.close()
        self._spill.remove()


def _busy() -> LakehouseError:
    return LakehouseError(
        ErrorKind.RESOURCE_EXHAUSTED, "server_busy", "Too many statements are running. Wait a little, then repeat."
    )
