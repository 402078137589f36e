"""One thread that watches the clocks of all running statements."""

import threading
import time
from typing import Protocol

_TICK_SECONDS = 0.05


class Watched(Protocol):
    """Something that may run out of time."""

    def check(self, now: float) -> None:
        """Act if it is later than allowed (``now`` is of the monotonic clock). Must be quick and must not raise."""
        ...


class Watch:
    """Checks what runs twenty times a second; sleeps while nothing runs."""

    def __init__(self) -> None:
        self._running: set[Watched] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="statement-watch", daemon=True)
        self._thread.start()

    def add(self, watched: Watched) -> None:
        """Begin to watch."""
        with self._changed:
            if not self._running:
                self._changed.notify()
            self._running.add(watched)

    def remove(self, watched: Watched) -> None:
        """Stop to watch. Idempotent."""
        with self._changed:
            self._running.discard(watched)

    def running(self) -> list[Watched]:
        """Return what is watched now."""
        with self._changed:
            return list(self._running)

    def close(self) -> None:
        """End the thread. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._running and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                running = list(self._running)
            now = time.monotonic()
            for watched in running:
                watched.check(now)
            with self._changed:
                if not self._closed:
                    self._changed.wait(_TICK_SECONDS)
