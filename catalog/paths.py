"""Every object key of a lake, in one place. Keys are relative to the lake's prefix.

    catalog/root.parquet                                     the root: the only key that is ever overwritten
    catalog/roots/<version>.parquet                          former roots, immutable
    catalog/manifests/<dataset_id>/e<epoch>/<uuid7>.parquet  manifests, immutable
    data/<dataset_id>/e<epoch>/<uuid7>-<n>.parquet           data objects, immutable

Beside them, ``probe.py`` writes below ``catalog/probe/`` and deletes it again.

Nothing that a user typed ever becomes part of a key.
"""

from uuid6 import uuid7

DATA_KEY_PATTERN = r"^data/[0-9A-Za-z_-]+/e[0-9]+/[0-9A-Za-z_][0-9A-Za-z._-]*$"
"""What a key in a manifest has to look like (RE2). A manifest that was tampered with must not reach other files."""


def root_key() -> str:
    """Return the key of the root."""
    return "catalog/root.parquet"


def archived_roots_prefix() -> str:
    """Return what the keys of all archived roots begin with."""
    return "catalog/roots/"


def archived_root_key(version: int) -> str:
    """Return the key of the immutable copy of one root."""
    return f"{archived_roots_prefix()}{version:020d}.parquet"


def manifest_key(dataset_id: str, epoch: int) -> str:
    """Make a fresh key for one manifest."""
    return f"catalog/manifests/{dataset_id}/e{epoch}/{uuid7()}.parquet"


def data_key(dataset_id: str, epoch: int, n: int) -> str:
    """Make a fresh key for the ``n``-th data object of one ingest."""
    return f"data/{dataset_id}/e{epoch}/{uuid7()}-{n}.parquet"


def new_dataset_id() -> str:
    """Make the id of a new dataset."""
    return str(uuid7())
