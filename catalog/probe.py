"""Does the store honour conditional writes? Everything that the catalog promises rests on it, so it is tried at start."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from .errors import ErrorKind, LakehouseError
from .store import (
    Condition,
    IfAbsent,
    IfMatch,
    ObjectStore,
    PreconditionFailedError,
    StoreError,
    StoreUnavailableError,
    WriteConflictError,
)

PREFIX = "catalog/probe/"
_WRONG_ETAG = '"00000000000000000000000000000000"'
_RACERS = 8


def probe_conditional_writes(store: ObjectStore) -> None:
    """Try every conditional write that commits rely on, under keys of the probe's own, which it deletes again.

    Raises:
        LakehouseError: ``store_ignores_conditional_writes``, if the store may not be shared by several writers;
            ``store_unavailable``, if it could not be asked.
    """
    key, missing = (f"{PREFIX}{uuid.uuid4().hex}" for _ in range(2))
    try:
        _probe(store, key, missing)
    except StoreUnavailableError as error:
        raise LakehouseError(
            ErrorKind.UNAVAILABLE, "store_unavailable", f"The store of the lake cannot be used: {error}."
        ) from error
    finally:
        # Random keys that nobody else knows: the only ones that are ever deleted outside garbage collection.
        with suppress(StoreError):
            store.delete([key, missing])


def _probe(store: ObjectStore, key: str, missing: str) -> None:
    first = _write(store, key, b"first", IfAbsent())
    if first is None:
        raise _ignores("it refuses to create an object that does not exist")
    if _write(store, key, b"second", IfAbsent()) is not None:
        raise _ignores("it created an object twice")
    if _write(store, key, b"third", IfMatch(_WRONG_ETAG)) is not None:
        raise _ignores("it replaced an object although the etag was wrong")
    if _write(store, missing, b"fourth", IfMatch(first)) is not None:
        raise _ignores("it created an object that was to be replaced")
    second = _write(store, key, b"fifth", IfMatch(first))
    if second is None or second == first or store.get(key).data != b"fifth":
        raise _ignores("it did not replace an object although the etag was right")
    if _write(store, key, b"sixth", IfMatch(first)) is not None:
        raise _ignores("it replaced an object although the etag was outdated")
    _race(store, key, second)


def _race(store: ObjectStore, key: str, etag: str) -> None:
    """Replace one version from several threads at once. At most one may win, and its bytes must be there then."""
    bodies = [f"racer {number}".encode() for number in range(_RACERS)]
    with ThreadPoolExecutor(_RACERS) as threads:
        etags = list(threads.map(lambda body: _write(store, key, body, IfMatch(etag)), bodies))
    winners = [body for body, won in zip(bodies, etags, strict=True) if won is not None]
    if store.get(key).data not in (winners or [b"fifth"]) or len(winners) > 1:
        raise _ignores(f"{len(winners)} of {_RACERS} simultaneous writes replaced the same version of an object")


def _write(store: ObjectStore, key: str, data: bytes, condition: Condition) -> str | None:
    try:
        return store.put(key, data, condition)
    except (PreconditionFailedError, WriteConflictError):
        return None


def _ignores(what: str) -> LakehouseError:
    return LakehouseError(
        ErrorKind.INVALID_ARGUMENT,
        "store_ignores_conditional_writes",
        f"The store of the lake does not honour conditional writes: {what}. Commits of several servers would overwrite "
        "each other there. Use another store, or set single_writer = true and run exactly one server on it.",
    )
