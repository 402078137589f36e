"""How a query's bytes are read: straight from the store, or through the block cache."""

from typing import Protocol

from .store import ObjectStore


class ObjectReader(Protocol):
    """Reads ranges of immutable objects. Safe for use from several threads."""

    def read(self, key: str, etag: str, size: int, offset: int, length: int) -> bytes:
        """Read ``length`` bytes from ``offset`` of the object of ``size`` bytes; fewer only at its end.

        Raises ObjectNotFoundError, StoreUnavailableError.
        """
        ...


class DirectReader:
    """Asks the store for every range: right for a store on a local disk."""

    def __init__(self, store: ObjectStore) -> None:
        self._get_range = store.get_range

    def read(self, key: str, etag: str, size: int, offset: int, length: int) -> bytes:  # noqa: ARG002 - the protocol's
        """Read a range."""
        return self._get_range(key, offset, length)
