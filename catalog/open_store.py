"""From a lake's settings to its store."""

import os
from pathlib import Path

from .credentials import find_access
from .local import LocalStore
from .s3 import S3Store
from .settings import LakeSettings, StoreSettings
from .store import ObjectStore


def open_store(name: str, lake: LakeSettings, settings: StoreSettings, secrets: Path | None = None) -> ObjectStore:
    """Open the store of the lake called ``name``; nothing is asked of a remote one yet.

    ``secrets`` is a file with credentials, see ``credentials.py``.

    Raises:
        LakehouseError: ``invalid_secrets_file``.
        StoreUnavailableError: the folder of a local lake cannot be made.
    """
    if lake.path is not None:
        return LocalStore(lake.path, lock_timeout_seconds=settings.lock_timeout_seconds)
    access = find_access(name, lake, secrets, os.environ)
    return S3Store(lake.bucket or "", lake.prefix, access=access, settings=settings)
