"""The queries that run now, by the nonce of their ticket, so that a client that holds the ticket can stop them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class RunningQueries:
    """Remembers how each running query is cancelled. Safe for use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[bytes, list[Callable[[], None]]] = {}

    @contextmanager
    def running(self, nonce: bytes, cancel: Callable[[], None]) -> Iterator[None]:
        """Let :meth:`cancel` reach the query inside the block."""
        with self._lock:
            self._running.setdefault(nonce, []).append(cancel)
        try:
            yield
        finally:
            with self._lock:
                self._running[nonce].remove(cancel)
                if not self._running[nonce]:
                    del self._running[nonce]

    def cancel(self, nonce: bytes) -> bool:
        """Cancel every running query of a ticket; whether there was one."""
        with self._lock:
            cancels = list(self._running.get(nonce, ()))
        for cancel in cancels:
            cancel()
        return bool(cancels)
