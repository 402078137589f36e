"""Put the parts together: settings → stores → lakes → engine → servers. The only place that knows them all."""

from typing import Protocol

from catalog import (
    Lake,
    LakeSettings,
    LocalStore,
    ObjectStore,
    S3Credentials,
    S3Store,
)

from .secrets import read_secrets
from .settings import Settings


class Tower(Protocol):
    """A running server."""

    @property
    def address(self) -> str:
        """Where clients reach it, such as ``grpc://127.0.0.1:8815``."""
        ...

    def close(self) -> None:
        """Let running requests finish, then stop."""
        ...


def open_store(lake: LakeSettings, settings: Settings, credentials: S3Credentials | None) -> ObjectStore:
    """Return the store of a lake."""
    if lake.path is not None:
        return LocalStore(lake.path)
    assert lake.bucket is not None
    return S3Store(lake, settings.store, credentials)
