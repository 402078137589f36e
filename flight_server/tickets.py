"""Tickets, prepared statement handles and session tokens: values that clients carry for us, signed.

The server keeps nothing for them, so every replica with the same key opens them, any number of times. Sealed bytes:

    version (1) · kind (1) · MAC (16) · deflate or not (1) · payload

The version is no valid protobuf tag and no printable character, so a sealed value is never taken for a command. The MAC
is HMAC-SHA256, cut to 128 bits, over version, kind and all that follows it.
"""

import base64
import hmac
import secrets
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from catalog import ErrorKind, LakehouseError

from .protocol import Message, new, parse

_VERSION = 1
_STATEMENT, _PREPARED, _SESSION = b"S", b"P", b"B"
_MAC_BYTES = 16
_HEADER_BYTES = 2 + _MAC_BYTES
_DEFLATE_FROM_BYTES = 256
_PLAIN, _DEFLATED = b"\0", b"\1"
_SESSION_ID_BYTES = 14  # with the MAC a multiple of 3: base64 needs no padding
_SESSION_PREFIX = "lh1-"
_INVALID_CODES = {"ticket": "invalid_ticket", "handle": "invalid_handle"}
_EXPIRED_CODES = {"ticket": "ticket_expired", "handle": "handle_expired"}


@dataclass(frozen=True, slots=True)
class StatementTicket:
    """A query over pinned snapshots: everything that is needed to run it, and to run it again.

    Attributes:
        parameters: one batch as an Arrow IPC stream, or None.
        snapshots: version by lake.
        text: text format of the rows, or None for Arrow.
        transaction_id: the open transaction whose own writes the query sees, or None.
        nonce: tells this ticket from others of the same query, so that only its holder can cancel it.
        expires_at: seconds since the epoch, rounded up on the way.
    """

    sql: str
    catalog: str
    schema: str
    expires_at: float
    parameters: bytes | None = None
    snapshots: Mapping[str, int] = field(default_factory=dict)
    principal: str = ""
    text: str | None = None
    transaction_id: bytes | None = None
    nonce: bytes = field(default_factory=lambda: secrets.token_bytes(8))


@dataclass(frozen=True, slots=True)
class PreparedHandle:
    """A prepared statement, and the parameters that were bound to it last.

    Attributes:
        parameters: one batch as an Arrow IPC stream, or None.
        transaction_id: the transaction that the statement was prepared in, or None.
        expires_at: seconds since the epoch, rounded up on the way.
    """

    sql: str
    is_update: bool
    expires_at: float
    transaction_id: bytes | None = None
    parameters: bytes | None = None
    principal: str = ""


class Signer:
    """Seals and opens what clients carry for us. Safe for use from several threads.

    Args:
        key: the secret, shared by all replicas; None makes a random one, so that nothing outlives the process.
        clock: the time in seconds since the epoch.
    """

    def __init__(self, key: bytes | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._key = key or secrets.token_bytes(32)
        self._clock = clock

    def seal_ticket(self, ticket: StatementTicket) -> bytes:
        """Return a ticket for a Flight endpoint."""
        message = new(
            "StatementTicket",
            sql=ticket.sql,
            parameters=ticket.parameters,
            snapshots=dict(ticket.snapshots),
            catalog=ticket.catalog,
            schema=ticket.schema,
            principal=ticket.principal,
            format=ticket.text,
            transaction_id=ticket.transaction_id,
            expires_at=_whole_seconds(ticket.expires_at),
            nonce=ticket.nonce,
        )
        return self._seal(_STATEMENT, message)

    def open_ticket(self, data: bytes) -> StatementTicket:
        """Open a ticket.

        Raises:
            LakehouseError: INVALID_ARGUMENT ``invalid_ticket``, NOT_FOUND ``ticket_expired``.
        """
        message = parse("StatementTicket", self._open(_STATEMENT, data, "ticket"))
        self._check_age(message, "ticket")
        return StatementTicket(
            sql=message.sql,
            catalog=message.catalog,
            schema=message.schema,
            expires_at=message.expires_at,
            parameters=message.parameters if message.HasField("parameters") else None,
            snapshots=dict(message.snapshots),
            principal=message.principal,
            text=message.format if message.HasField("format") else None,
            transaction_id=message.transaction_id if message.HasField("transaction_id") else None,
            nonce=message.nonce,
        )

    def renew_ticket(self, data: bytes, expires_at: float) -> bytes:
        """Return the same ticket with another expiry. Raises as :meth:`open_ticket`."""
        return self.seal_ticket(replace(self.open_ticket(data), expires_at=expires_at))

    def seal_handle(self, handle: PreparedHandle) -> bytes:
        """Return a handle for a prepared statement."""
        message = new(
            "PreparedHandle",
            sql=handle.sql,
            is_update=handle.is_update,
            transaction_id=handle.transaction_id,
            parameters=handle.parameters,
            principal=handle.principal,
            expires_at=_whole_seconds(handle.expires_at),
        )
        return self._seal(_PREPARED, message)

    def open_handle(self, data: bytes) -> PreparedHandle:
        """Open a prepared statement's handle.

        Raises:
            LakehouseError: INVALID_ARGUMENT ``invalid_handle``, NOT_FOUND ``handle_expired``.
        """
        message = parse("PreparedHandle", self._open(_PREPARED, data, "handle"))
        self._check_age(message, "handle")
        return PreparedHandle(
            sql=message.sql,
            is_update=message.is_update,
            expires_at=message.expires_at,
            transaction_id=message.transaction_id if message.HasField("transaction_id") else None,
            parameters=message.parameters if message.HasField("parameters") else None,
            principal=message.principal,
        )

    def new_session_token(self) -> str:
        """Return a token of a new session: short, and safe in headers and cookies."""
        session_id = secrets.token_bytes(_SESSION_ID_BYTES)
        return _SESSION_PREFIX + base64.urlsafe_b64encode(session_id + self._mac(_SESSION, session_id)).decode()

    def session_id(self, token: str) -> str | None:
        """Return the id in a session token, or None if we did not make the token."""
        if not is_session_token(token):
            return None
        try:
            data = base64.b64decode(token.removeprefix(_SESSION_PREFIX), altchars=b"-_", validate=True)
        except ValueError:
            return None
        session_id, mac = data[:_SESSION_ID_BYTES], data[_SESSION_ID_BYTES:]
        return session_id.hex() if hmac.compare_digest(mac, self._mac(_SESSION, session_id)) else None

    def _seal(self, kind: bytes, message: Message) -> bytes:
        payload = bytes(message.SerializeToString(deterministic=True))
        body = _PLAIN + payload
        if len(payload) >= _DEFLATE_FROM_BYTES:
            body = min(body, _DEFLATED + zlib.compress(payload, 1), key=len)
        return bytes([_VERSION]) + kind + self._mac(kind, body) + body

    def _open(self, kind: bytes, data: bytes, noun: str) -> bytes:
        body = data[_HEADER_BYTES:]
        signed = data[:2] == bytes([_VERSION]) + kind and body
        # The order matters: nothing is inflated or parsed before the signature holds.
        if not signed or not hmac.compare_digest(data[2:_HEADER_BYTES], self._mac(kind, body)):
            raise LakehouseError(
                ErrorKind.INVALID_ARGUMENT,
                _INVALID_CODES[noun],
                f"The {noun} was not made by this server, or its signing key has changed since.",
            )
        return zlib.decompress(body[1:]) if body[:1] == _DEFLATED else body[1:]

    def _mac(self, kind: bytes, body: bytes) -> bytes:
        return hmac.digest(self._key, bytes([_VERSION]) + kind + body, "sha256")[:_MAC_BYTES]

    def _check_age(self, message: Message, noun: str) -> None:
        if message.expires_at < self._clock():
            raise LakehouseError(
                ErrorKind.NOT_FOUND, _EXPIRED_CODES[noun], f"The {noun} has expired: send the statement again."
            )


def is_sealed(data: bytes) -> bool:
    """Whether a ticket looks like one of ours, rather than like a command. Says nothing of its signature."""
    return data[:1] == bytes([_VERSION])


def is_session_token(token: str) -> bool:
    """Whether a bearer token looks like one of ours. Says nothing of its signature."""
    return token.startswith(_SESSION_PREFIX)


def _whole_seconds(seconds: float) -> int:
    return -int(-seconds // 1)
