"""Answers that are held back until it is clear that they will be something.

The status line goes out before the body. An error after it can only cut the body off, so the first part of an answer is
made before the status is decided: a wrong statement, a missing dataset and most run-time errors still get their own
status. An answer that is small enough is sent as a whole, with its length, and keeps the connection open.
"""

import threading
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from itertools import chain

from flask import Response

from .errors import HttpProblem


class StreamSlots:
    """Counts the answers that are being streamed: each of them keeps a thread for as long as its reader is slow."""

    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)

    def take(self) -> None:
        """Take a slot.

        Raises:
            HttpProblem: 503, all of them are taken.
        """
        if not self._free.acquire(blocking=False):
            raise HttpProblem(
                HTTPStatus.SERVICE_UNAVAILABLE, "too_many_streams", "too many long answers are being sent; come back"
            )

    def give_back(self) -> None:
        """Give a slot back."""
        self._free.release()


def answer(chunks: Iterator[bytes], content_type: str, hold_bytes: int, slots: StreamSlots) -> Response:
    """Return the answer whose body these chunks are, with its first part made already."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= hold_bytes:
            break
    else:
        return Response(b"".join(held), content_type=content_type)
    try:
        slots.take()
    except HttpProblem:
        _close(chunks)
        raise
    response = Response(chain(held, chunks), content_type=content_type)
    response.call_on_close(slots.give_back)
    response.call_on_close(partial(_close, chunks))
    return response


def _close(chunks: Iterator[bytes]) -> None:
    close = getattr(chunks, "close", None)
    if close is not None:
        close()
