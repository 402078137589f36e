"""What the operating system knows of a server: its processes, their memory and the time that they computed."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

_TICKS = os.sysconf("SC_CLK_TCK")
_SAMPLE_SECONDS = 0.05


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found = [pid]
    for parent in found:
        try:
            threads = list(Path(f"/proc/{parent}/task").iterdir())
            found += [int(child) for thread in threads for child in (thread / "children").read_text().split()]
        except OSError:
            continue  # it has ended
    return found


def resident_bytes(pid: int) -> int:
    """Return the memory of a process and its descendants; what they share is counted more than once."""
    total = 0
    for member in family(pid):
        try:
            status = Path(f"/proc/{member}/status").read_text(encoding="ascii", errors="replace")
        except OSError:
            continue
        total += sum(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmRSS:"))
    return total


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and its living descendants, in user and system mode."""
    ticks = 0
    for member in family(pid):
        try:
            fields = Path(f"/proc/{member}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        except OSError:
            continue
        user, system = fields.split()[11:13]
        ticks += int(user) + int(system)
    return ticks / _TICKS


class MemorySampler:
    """Samples the memory of a server while the block runs.

    Attributes:
        peak_bytes: the largest sample.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.peak_bytes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, resident_bytes(self._pid))
            if self._ended.wait(_SAMPLE_SECONDS):
                return


@contextmanager
def cpu_of(pids: dict[str, int]) -> Iterator[dict[str, float]]:
    """Give a table that, after the block, says how many processor seconds each of these families took in it."""
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    spent: dict[str, float] = {}
    yield spent
    spent.update({name: cpu_seconds(pid) - before[name] for name, pid in pids.items()})
