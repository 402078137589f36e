"""What the headers of a call say: who calls, in which session, and what is asked beside the command.

A session is found by the bearer token that we gave, then by our cookie, then by the connection. A caller that shows
neither token nor cookie is offered both in the response: ADBC adopts the first, JDBC keeps the second. Tokens are
never logged.
"""

import base64
import logging
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.flight as fl

from catalog import ErrorKind, LakehouseError

from .errors import wire_error
from .sessions import Session, Sessions
from .tickets import Signer, is_session_token

CALL = "lakehouse-call"
"""Name of the middleware: ``FlightServerBase(middleware={CALL: CallFactory(…)})``."""

COOKIE = "arrow_flight_session_id"
REQUEST_ID = "x-request-id"

logger = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Call(fl.ServerMiddleware):  # type: ignore[misc]
    """One running call.

    Attributes:
        method: the RPC's name in upper case, such as ``DO_GET``.
        request_id: the caller's ``x-request-id``, or a new one; it is sent back and belongs in every log line.
        user: name from Basic credentials, or "". Not verified while authentication is off.
    """

    def __init__(
        self, method: fl.FlightMethod, headers: Mapping[str, Sequence[Any]], sessions: Sessions, signer: Signer
    ) -> None:
        self.method: str = method.name
        self._headers = headers
        self._sessions = sessions
        self._session: Session | None = None
        self._answered = False
        self.request_id = self._read_request_id()
        self.user = ""
        shown, self._keeps_authorization = self._read_authorization(signer)
        self._shown = shown or self._read_cookie(signer)
        self._token = self._shown or signer.new_session_token()
        self._session_id = signer.session_id(self._token) or ""

    def headers(self, name: str) -> list[str]:
        """Return all values of a text header; names are compared without case."""
        return [value for value in self._headers.get(name.lower(), ()) if isinstance(value, str)]

    def header(self, name: str) -> str | None:
        """Return the first value of a text header, or None."""
        return next(iter(self.headers(name)), None)

    def session(self, context: fl.ServerCallContext) -> Session:
        """Return the session that the call belongs to; it stays alive until the call has ended.

        Raises:
            LakehouseError: RESOURCE_EXHAUSTED ``too_many_sessions``.
        """
        if self._session is None:
            if self._shown:
                self._session = self._sessions.enter(self._session_id)
            else:
                self._session = self._sessions.enter_by_peer(context.peer(), self._session_id)
        return self._session

    def sending_headers(self) -> dict[str, str]:
        """Return the response headers, once: pyarrow asks twice in GetFlightInfo, and would send them twice."""
        if self._answered:
            return {}
        self._answered = True
        headers = {REQUEST_ID: self.request_id}
        if self.method == "HANDSHAKE" or not (self._shown or self._keeps_authorization):
            headers["authorization"] = f"Bearer {self._token}"
        if not self._shown:
            headers["set-cookie"] = f"{COOKIE}={self._token}"
        return headers

    def call_completed(self, exception: BaseException | None) -> None:
        """Let the session go."""
        session, self._session = self._session, None
        if session is not None:
            self._sessions.leave(session)
        logger.debug("%s %s", self.method, "failed" if exception else "done", extra={"request_id": self.request_id})

    def _read_request_id(self) -> str:
        given = self.header(REQUEST_ID)
        return given if given and _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)

    def _read_authorization(self, signer: Signer) -> tuple[str | None, bool]:
        """Return our valid token, if one is shown, and whether the caller authenticates by means of its own."""
        foreign = False
        for value in self.headers("authorization"):
            scheme, _, credentials = value.strip().partition(" ")
            if scheme.lower() == "basic":
                self.user = decode_basic(credentials)
            elif is_session_token(token := credentials.strip() or value.strip()):
                if signer.session_id(token) is not None:
                    return token, False
            else:
                foreign = True
        return None, foreign

    def _read_cookie(self, signer: Signer) -> str | None:
        for cookie in ";".join(self.headers("cookie")).split(";"):
            name, _, value = cookie.strip().partition("=")
            token = value.strip('"')
            if name == COOKIE and signer.session_id(token) is not None:
                return token
        return None


class CallFactory(fl.ServerMiddlewareFactory):  # type: ignore[misc]
    """Makes a :class:`Call` for every RPC.

    Args:
        sessions: where sessions are kept.
        signer: makes and checks session tokens.
    """

    def __init__(self, sessions: Sessions, signer: Signer) -> None:
        super().__init__()
        self._sessions = sessions
        self._signer = signer

    def start_call(self, info: fl.CallInfo, headers: Mapping[str, Sequence[Any]]) -> Call:
        """Read the headers; malformed credentials refuse the call."""
        try:
            return Call(info.method, headers, self._sessions, self._signer)
        except Exception as error:  # noqa: BLE001 (nothing else may pass to the wire)
            raise wire_error(error, rpc="start_call") from None


def current_call(context: fl.ServerCallContext) -> Call:
    """Return the call that a context belongs to."""
    call: Call = context.get_middleware(CALL)
    return call


def decode_basic(credentials: str) -> str:
    """Return the user's name in Basic credentials, with or without padding.

    Raises:
        LakehouseError: UNAUTHENTICATED ``invalid_credentials``.
    """
    bare = credentials.strip().rstrip("=")
    try:
        user, colon, _ = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True).decode().partition(":")
    except ValueError:
        colon = ""
    if not colon:
        raise LakehouseError(
            ErrorKind.UNAUTHENTICATED, "invalid_credentials", "The authorization header holds no valid credentials."
        )
    return user
