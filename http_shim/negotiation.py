"""Which format an answer has: ``?format=`` first, then the Accept header, then JSON."""

from enum import Enum
from http import HTTPStatus

from flask import Request

from .errors import HttpProblem


class ResultFormat(Enum):
    """Formats of an answer; the value is the content type."""

    JSON = "application/json"
    NDJSON = "application/x-ndjson"
    CSV = "text/csv"
    ARROW = "application/vnd.apache.arrow.stream"
    PARQUET = "application/vnd.apache.parquet"
    TABLE = "text/plain"


_OTHER_NAMES = {
    "application/jsonl": ResultFormat.NDJSON,
    "application/x-jsonlines": ResultFormat.NDJSON,
    "application/parquet": ResultFormat.PARQUET,
}
_BY_TYPE = {one.value: one for one in ResultFormat} | _OTHER_NAMES


def chosen_format(request: Request, named: object = None) -> ResultFormat:
    """Return the format that this request wants.

    Args:
        request: its ``?format=`` wins, then ``named``, then its Accept header.
        named: a format's name from the body, if there is one.

    Raises:
        HttpProblem: 400 for an unknown name, 406 if Accept names nothing that we have.
    """
    name = request.args.get("format", named)
    if name is not None:
        return _by_name(name)
    accepted = request.accept_mimetypes
    if not accepted:
        return ResultFormat.JSON
    best = accepted.best_match(list(_BY_TYPE))
    if best is None:
        known = ", ".join(one.value for one in ResultFormat)
        raise HttpProblem(HTTPStatus.NOT_ACCEPTABLE, "not_acceptable", f"answers come as {known}")
    return _BY_TYPE[best]


def _by_name(name: object) -> ResultFormat:
    known = {one.name.lower(): one for one in ResultFormat}
    if not isinstance(name, str) or name.lower() not in known:
        raise HttpProblem(HTTPStatus.BAD_REQUEST, "unknown_format", f"format is one of {', '.join(known)}")
    return known[name.lower()]
