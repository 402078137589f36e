"""What a legal key of a store is: the keys that every implementation can hold, whatever it is built on."""

import re

from .store import StoreError

RESERVED = ".lakehouse"
"""First segment that no key may have: the local store keeps its own files there."""

# Segments of 1 to 255 characters without control characters, none of them "." or ".."; no slash at either end.
_KEY = re.compile(r"(?:(?!\.{1,2}(?:/|\Z))[^/\x00-\x1f\x7f\ud800-\udfff]{1,255}(?:/(?!\Z)|\Z))+")
_MAX_KEY_BYTES = 900  # S3 allows 1024 with the lake's prefix
_MAX_SEGMENT_BYTES = 255


class InvalidKeyError(StoreError):
    """The key is none that a store can hold. A catalog that asks for it has been tampered with."""


def check_key(key: str) -> str:
    """Return the key if it is legal. Raises InvalidKeyError."""
    if _KEY.fullmatch(key) is None or key.partition("/")[0] == RESERVED or not _is_short(key):
        raise InvalidKeyError(f"not a legal key: {key[:100]!r}")
    return key


def check_prefix(prefix: str) -> str:
    """Return the prefix if legal keys can begin with it. Raises InvalidKeyError."""
    if prefix.rpartition("/")[2] in {".", ".."}:
        raise InvalidKeyError(f"not a legal prefix: {prefix[:100]!r}")
    check_key(f"{prefix}x")
    return prefix


def _is_short(key: str) -> bool:
    if key.isascii():
        return len(key) <= _MAX_KEY_BYTES
    encoded = key.encode()
    return len(encoded) <= _MAX_KEY_BYTES and all(len(part) <= _MAX_SEGMENT_BYTES for part in encoded.split(b"/"))
