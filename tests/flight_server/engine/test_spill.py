"""Spill folders go with their engine, however it goes."""

import subprocess
import sys

import pytest

from catalog import LakehouseError
from flight_server.engine.spill import SpillFolder

KILLED = """
import os, sys
sys.path[:0] = {path!r}
from pathlib import Path
from flight_server.engine.spill import SpillFolder
(SpillFolder(Path({root!r})).path / "rows").write_bytes(b"x")
os.kill(os.getpid(), 9)
"""


def folders(root):
    return list(root.glob("lakehouse-spill-*"))


def test_a_folder_is_removed_with_what_is_in_it(tmp_path):
    spill = SpillFolder(tmp_path / "deep" / "er")
    (spill.path / "rows").write_bytes(b"x")
    spill.remove()
    spill.remove()

    assert folders(tmp_path / "deep" / "er") == []


def test_what_a_killed_process_left_is_removed_and_what_is_in_use_is_not(tmp_path):
    in_use = SpillFolder(tmp_path)
    subprocess.run([sys.executable, "-c", KILLED.format(path=sys.path, root=str(tmp_path))], check=False)
    assert len(folders(tmp_path)) == 2
    another = SpillFolder(tmp_path)

    assert set(folders(tmp_path)) == {in_use.path, another.path}
    in_use.remove()
    another.remove()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(LakehouseError, match="spill_directory_unusable"):
        SpillFolder(tmp_path / "file" / "folder")
