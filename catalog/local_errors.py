"""What an error of the file system means to the users of a local store."""

import errno

from .keys import InvalidKeyError
from .store import ObjectNotFoundError, StoreError, StoreUnavailableError

_REASONS = {
    errno.ENOSPC: "it has no space left",
    errno.EDQUOT: "its quota is used up",
    errno.EACCES: "access is denied",
    errno.EPERM: "the file system does not permit it",
    errno.EROFS: "it is read-only",
    errno.EMFILE: "too many files are open",
    errno.ENFILE: "too many files are open",
    errno.ENOTDIR: "its path leads through a file",
    errno.EEXIST: "its path is a file",
    errno.ETIMEDOUT: "another process holds its lock",
}


def failure(error: OSError, key: str | None = None) -> StoreError:
    """Say what failed without the path, which is the server's own business. A key makes "not found" speak of it."""
    if key is not None and isinstance(error, FileNotFoundError | NotADirectoryError):
        return ObjectNotFoundError(key)
    if error.errno in {errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EILSEQ}:
        return InvalidKeyError("the file system cannot hold this key")
    return unavailable(error)


def unavailable(error: OSError) -> StoreUnavailableError:
    """Say why the folder cannot be used, whatever key it was about."""
    reason = _REASONS.get(error.errno or 0, "the file system failed")
    return StoreUnavailableError(f"the lake's folder cannot be used: {reason}")
