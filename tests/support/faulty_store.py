"""A store that fails on purpose, between the caller and a real one."""

import contextlib
import threading
from collections.abc import Callable
from enum import Enum

from catalog import (
    Condition,
    ObjectStore,
    PreconditionFailedError,
    StoreError,
    StoreUnavailableError,
    WriteConflictError,
)


class Fault(Enum):
    """How one call fails."""

    BEFORE = "it never reached the store"
    AFTER = "the answer was lost"
    LATE = "it reached the store after the caller had given up on it"
    ECHO = "something on the way sent it twice, and the second answer came back"
    CONFLICT = "another write was in flight"


Plan = Callable[[int, str, str], Fault | None]
"""Says how call number n (from 1) with this operation and key fails."""


class FaultyStore:
    """Passes calls on, or fails them as a plan says. Reads know BEFORE only. Nobody may delete."""

    def __init__(self, store: ObjectStore, plan: Plan) -> None:
        self._store = store
        self.plan = plan
        self._late: list[tuple[str, bytes, Condition]] = []
        self._lock = threading.Lock()
        self.calls = 0
        self.faults = 0

    def get(self, key):
        self._enter("get", key)
        return self._store.get(key)

    def get_if_changed(self, key, etag):
        self._enter("get", key)
        return self._store.get_if_changed(key, etag)

    def head(self, key):
        self._enter("get", key)
        return self._store.head(key)

    def list(self, prefix):
        self._enter("get", prefix)
        return self._store.list(prefix)

    def put(self, key, data, condition):
        fault = self._enter("put", key)
        match fault:
            case None:
                return self._store.put(key, data, condition)
            case Fault.AFTER:
                self._apply(key, data, condition)
            case Fault.ECHO:
                self._apply(key, data, condition)
                raise PreconditionFailedError(key)
            case Fault.CONFLICT:
                raise WriteConflictError(key)
            case Fault.LATE:
                with self._lock:
                    self._late.append((key, data, condition))
        raise StoreUnavailableError(fault.value)

    def delete(self, keys):
        raise AssertionError(f"nobody deletes here: {keys}")

    def arrive(self) -> None:
        """Let what is late reach the store."""
        with self._lock:
            late, self._late = self._late, []
        for write in late:
            self._apply(*write)

    def _apply(self, key: str, data: bytes, condition: Condition) -> None:
        with contextlib.suppress(StoreError):  # nobody would hear of it
            self._store.put(key, data, condition)

    def _enter(self, operation: str, key: str) -> Fault | None:
        with self._lock:
            self.calls += 1
            number = self.calls
        if number % 3 == 0:
            self.arrive()
        fault = self.plan(number, operation, key)
        if fault is None:
            return None
        with self._lock:
            self.faults += 1
        if operation == "get":
            raise StoreUnavailableError(fault.value)
        return fault
