"""Where statements spill to disk: a folder for each engine, which goes when the engine goes, however it goes."""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from catalog import ErrorKind, LakehouseError

_PREFIX = "lakehouse-spill-"
_LOCK = "lock"


class SpillFolder:
    """A folder of this process. Those that killed processes left behind are removed first.

    A lock tells them apart: the system drops it when its process ends. No clock is asked.

    Args:
        parent: where the folder is made; None stands for the system's temporary folder.

    Raises:
        LakehouseError: INVALID_ARGUMENT ``spill_directory_unusable``.
    """

    def __init__(self, parent: Path | None) -> None:
        root = parent or Path(tempfile.gettempdir())
        try:
            root.mkdir(parents=True, exist_ok=True)
            _sweep(root)
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
            self._lock = _locked(self.path)
        except OSError as error:
            raise LakehouseError(
                ErrorKind.INVALID_ARGUMENT,
                "spill_directory_unusable",
                f"engine.spill_directory cannot be used: {error.strerror}.",
            ) from error

    def remove(self) -> None:
        """Remove the folder and what is in it. Idempotent."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _sweep(root: Path) -> None:
    for folder in root.glob(f"{_PREFIX}*"):
        # A folder without a lock is one that another process is just making.
        if (folder / _LOCK).exists() and (lock := _locked(folder)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _locked(folder: Path) -> int | None:
    """Lock a folder, or return None if it is in use, gone or somebody else's."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock
