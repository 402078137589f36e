"""A file to write to whose bytes are taken out again while the writer still writes."""

import io
from typing import Any


class ByteSink(io.RawIOBase):
    """What Arrow's writers write into, so that their output can be streamed."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, data: Any) -> int:
        """Keep a copy of the data."""
        self._pieces.append(bytes(data))
        return len(self._pieces[-1])

    def take(self) -> bytes:
        """Return what was written since the last call."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken
