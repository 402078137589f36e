"""The file that tells a script where a server listens, written in one step when it answers."""

import json
import os
from pathlib import Path


class ReadyFile:
    """JSON such as ``{"flight": "grpc://…", "http": "http://…", "pid": 4711}``.

    Args:
        path: where; None writes nothing. A file left by an earlier server is removed at once.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.remove()

    def write(self, **addresses: str) -> None:
        """Write the addresses and this process's id."""
        if self._path is None:
            return
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        draft.write_text(json.dumps(addresses | {"pid": os.getpid()}) + "\n", encoding="utf-8")
        draft.replace(self._path)

    def remove(self) -> None:
        """Remove the file, so that nobody takes a stopped server for a running one."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
