"""Answers that are held back until it is clear that they will be something.

The status line goes out before the body. An error after it can only cut the body off, so the first part of an answer is
made before the status is decided: a wrong statement, a missing dataset and most run-time errors still get their own
status. An answer that is small enough is sent as a whole, with its length, and keeps the connection open.
"""

import logging
import threading
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from itertools import chain

from flask import Response, g

from clients import LakehouseClientError

from .errors import HttpProblem, client_problem

_LOG = logging.getLogger(__name__)


class AnswerCutError(ConnectionAbortedError):
    """An answer ends before its end. As an error of the connection it makes waitress hang up and log nothing more."""


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
    response = Response(chain(held, _cut_at_error(chunks, g.get("request_id", ""))), content_type=content_type)
    response.call_on_close(slots.give_back)
    response.call_on_close(partial(_close, chunks))
    return response


def _cut_at_error(chunks: Iterator[bytes], request_id: str) -> Iterator[bytes]:
    """Yield the chunks; what is wrong with them is one line of the log, as it is of any other refusal."""
    try:
        yield from chunks
    except (HttpProblem, LakehouseClientError) as error:
        problem = client_problem(error) if isinstance(error, LakehouseClientError) else error
        _LOG.warning("an answer was cut off after it began, id=%s, code=%s", request_id, problem.code)
        raise AnswerCutError(problem.code) from None


def _close(chunks: Iterator[bytes]) -> None:
    close = getattr(chunks, "close", None)
    if close is not None:
        close()
