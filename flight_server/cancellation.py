"""Stop work whose caller went away.

gRPC tells a handler of a cancelled call only when asked, and asking after the call has ended crashes the process. So
one thread asks for all running calls, under a lock that every call takes before it returns.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

logger = logging.getLogger(__name__)


class CallContext(Protocol):
    """The part of a server call context that this module uses."""

    def is_cancelled(self) -> bool:
        """Whether the client gave up on the call."""
        ...


class CancellationWatch:
    """Polls running calls and runs a callback, once, when the caller of one has gone away.

    Args:
        interval_seconds: time between two polls, and so the longest delay of a cancellation.
    """

    def __init__(self, interval_seconds: float) -> None:
        self._interval = interval_seconds
        self._lock = threading.Lock()
        self._watched: dict[int, tuple[CallContext, Callable[[], None]]] = {}
        self._next_id = 0
        self._wake = threading.Condition(self._lock)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="cancellation-watch", daemon=True)
        self._thread.start()

    @contextmanager
    def watching(self, context: CallContext, on_cancel: Callable[[], None]) -> Iterator[None]:
        """Run ``on_cancel`` if the call is cancelled inside the block. The context is not touched after it."""
        with self._lock:
            call_id = self._next_id
            self._next_id += 1
            self._watched[call_id] = (context, on_cancel)
            self._wake.notify()
        try:
            yield
        finally:
            with self._lock:
                self._watched.pop(call_id, None)

    def close(self) -> None:
        """Stop polling."""
        with self._lock:
            self._stopped = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._watched and not self._stopped:
                    self._wake.wait()
                if self._stopped:
                    return
                gone = [call_id for call_id, (context, _) in self._watched.items() if context.is_cancelled()]
                callbacks = [self._watched.pop(call_id)[1] for call_id in gone]
            for callback in callbacks:
                _run_quietly(callback)
            with self._lock:
                self._wake.wait_for(lambda: self._stopped, timeout=self._interval)


def _run_quietly(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:
        logger.exception("a cancellation callback failed")
