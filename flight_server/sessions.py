"""What the server remembers of its clients between calls: options, and open transactions.

A session exists once a call asks for it. Its id comes from a signed token, so a session that was forgotten, or that
another replica holds, begins anew under the same id. When the server is full, the session that was idle longest *and*
has nothing to lose (no option, no transaction, no running call) is forgotten; if all have something, newcomers are
refused. An idle session ends after ``sessions.idle_seconds``, and its transactions roll back.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

from catalog import ErrorKind, LakehouseError

from .actions import SessionOption
from .settings import SessionSettings
from .transactions import ClientTransaction

logger = logging.getLogger(__name__)

_MAX_NAME_CHARACTERS = 255


class Session:
    """One client's state. Safe for use from several threads."""

    def __init__(self, session_id: str, settings: SessionSettings) -> None:
        self.id = session_id
        self._lock = threading.RLock()
        self.last_used = 0.0
        self.calls = 0
        self._settings = settings
        self._options: dict[str, SessionOption] = {}
        self._transactions: dict[bytes, ClientTransaction] = {}
        self._begun = b""
        self._closed = False

    @property
    def options(self) -> Mapping[str, SessionOption]:
        """A copy of the options that are set."""
        with self._lock:
            return dict(self._options)

    def option(self, name: str) -> SessionOption | None:
        """Return an option's value, or None."""
        with self._lock:
            return self._options.get(name)

    def set_option(self, name: str, value: SessionOption | None) -> None:
        """Set an option, or unset it with None.

        Raises:
            LakehouseError: INVALID_ARGUMENT ``invalid_session_option``, TOO_LARGE ``too_many_session_options``.
        """
        if not name or len(name) > _MAX_NAME_CHARACTERS or len(str(value)) > self._settings.max_option_bytes:
            raise LakehouseError(
                ErrorKind.INVALID_ARGUMENT, "invalid_session_option", "The option's name or value is too long."
            )
        with self._lock:
            if value is None:
                self._options.pop(name, None)
                return
            if name not in self._options and len(self._options) >= self._settings.max_options:
                raise LakehouseError(
                    ErrorKind.TOO_LARGE,
                    "too_many_session_options",
                    f"A session may have {self._settings.max_options} options.",
                )
            self._options[name] = value

    def add(self, transaction: ClientTransaction) -> None:
        """Take an open transaction.

        Raises:
            LakehouseError: RESOURCE_EXHAUSTED ``too_many_transactions``, NOT_FOUND ``session_closed``.
        """
        with self._lock:
            if self._closed:
                raise LakehouseError(ErrorKind.NOT_FOUND, "session_closed", "The session was closed.")
            if len(self._transactions) >= self._settings.max_transactions:
                raise LakehouseError(
                    ErrorKind.RESOURCE_EXHAUSTED,
                    "too_many_transactions",
                    f"A session may have {self._settings.max_transactions} open transactions.",
                )
            self._transactions[transaction.id] = transaction

    def transaction(self, transaction_id: bytes) -> ClientTransaction:
        """Return an open transaction. Raises LakehouseError NOT_FOUND ``transaction_not_found``."""
        with self._lock:
            transaction = self._transactions.get(transaction_id)
        if transaction is None:
            raise _transaction_not_found()
        return transaction

    def begin(self, transaction: ClientTransaction) -> None:
        """Take the transaction that a BEGIN opened: every call without a transaction id belongs to it.

        Raises:
            LakehouseError: INVALID_ARGUMENT ``transaction_open``, and as :meth:`add`.
        """
        with self._lock:
            if self._begun in self._transactions:
                raise LakehouseError(
                    ErrorKind.INVALID_ARGUMENT, "transaction_open", "The session is in a transaction already."
                )
            self.add(transaction)
            self._begun = transaction.id

    def end(self) -> ClientTransaction:
        """Give the transaction that a BEGIN opened away. Raises LakehouseError INVALID_ARGUMENT ``no_transaction``."""
        with self._lock:
            if self._begun not in self._transactions:
                raise LakehouseError(
                    ErrorKind.INVALID_ARGUMENT, "no_transaction", "No BEGIN opened a transaction in this session."
                )
            return self._transactions.pop(self._begun)

    def current(self) -> ClientTransaction | None:
        """Return the transaction that a call without a transaction id belongs to, or None.

        It is the one that a BEGIN opened, else the only open one: drivers leave the id out where the protocol has it
        (bulk ingest of ADBC) and mean the one that they opened.
        """
        with self._lock:
            if self._begun in self._transactions:
                return self._transactions[self._begun]
            return next(iter(self._transactions.values())) if len(self._transactions) == 1 else None

    def remove(self, transaction_id: bytes) -> ClientTransaction:
        """Give an open transaction away, to whoever ends it. Raises as :meth:`transaction`."""
        with self._lock:
            transaction = self._transactions.pop(transaction_id, None)
        if transaction is None:
            raise _transaction_not_found()
        return transaction

    def holds_state(self) -> bool:
        """Whether the client would miss the session."""
        with self._lock:
            return bool(self.calls or self._options or self._transactions)

    def close(self) -> None:
        """Roll everything back and forget it. Idempotent; never raises."""
        with self._lock:
            self._closed = True
            self._options.clear()
            transactions, self._transactions = list(self._transactions.values()), {}
        for transaction in transactions:
            try:
                transaction.rollback()
            except Exception:
                logger.exception("rollback of a closed session's transaction failed")


class Sessions:
    """All sessions of a server, bounded and expiring. Safe for use from several threads.

    Args:
        settings: the limits.
        clock: a monotonic time in seconds.
    """

    def __init__(self, settings: SessionSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, Session] = OrderedDict()  # the one that was idle longest comes first
        self._by_peer: dict[str, str] = {}
        self._peers: dict[str, str] = {}

    def __len__(self) -> int:
        with self._lock:
            return len(self._sessions)

    def enter(self, session_id: str) -> Session:
        """Return the session of a caller who showed its id, making it if need be; the caller must :meth:`leave` it.

        Raises:
            LakehouseError: RESOURCE_EXHAUSTED ``too_many_sessions``.
        """
        with self._lock:
            ended = self._expired()
            self._unbind(session_id)
            session = self._enter(session_id)
        _close(ended)
        return session

    def enter_by_peer(self, peer: str, offered_id: str) -> Session:
        """Return the session of a caller who showed no id: that of its connection, or a new one with the offered id.

        The session belongs to the connection only until somebody shows its id: from then on its client is known to
        repeat the id, and a caller without one (behind the same proxy, say) is somebody else. Raises as :meth:`enter`.
        """
        with self._lock:
            ended = self._expired()
            session = self._enter(self._by_peer.get(peer, offered_id))
            if _names_one_connection(peer):
                self._by_peer[peer] = session.id
                self._peers[session.id] = peer
        _close(ended)
        return session

    def leave(self, session: Session) -> None:
        """Say that a call has ended: the session is idle from now on, unless it has other calls."""
        with self._lock:
            session.calls -= 1
            self._touch(session)

    def close(self, session_id: str) -> bool:
        """End a session and roll its transactions back. Whether there was one."""
        with self._lock:
            session = self._pop(session_id) if session_id in self._sessions else None
        _close([session] if session else [])
        return session is not None

    def expire(self) -> int:
        """End all sessions that were idle too long, as each new call does; return how many."""
        with self._lock:
            ended = self._expired()
        _close(ended)
        return len(ended)

    def close_all(self) -> None:
        """End all sessions, when the server stops."""
        with self._lock:
            ended = [self._pop(session_id) for session_id in list(self._sessions)]
        _close(ended)

    def _enter(self, session_id: str) -> Session:
        session = self._sessions.get(session_id)
        if session is None:
            if len(self._sessions) >= self._settings.max_sessions:
                self._pop(self._idlest())
            session = self._sessions[session_id] = Session(session_id, self._settings)
        session.calls += 1
        self._touch(session)
        return session

    def _touch(self, session: Session) -> None:
        session.last_used = self._clock()
        if session.id in self._sessions:
            self._sessions.move_to_end(session.id)

    def _expired(self) -> list[Session]:
        oldest = self._clock() - self._settings.idle_seconds
        expired: list[Session] = []
        for session in self._sessions.values():
            if session.last_used >= oldest:
                break
            if not session.calls:
                expired.append(session)
        for session in expired:
            self._pop(session.id)
        return expired

    def _idlest(self) -> str:
        for session in self._sessions.values():
            if not session.holds_state():
                return session.id
        raise LakehouseError(
            ErrorKind.RESOURCE_EXHAUSTED,
            "too_many_sessions",
            f"All of the server's {self._settings.max_sessions} sessions are in use.",
        )

    def _pop(self, session_id: str) -> Session:
        self._unbind(session_id)
        return self._sessions.pop(session_id)

    def _unbind(self, session_id: str) -> None:
        peer = self._peers.pop(session_id, None)
        if peer is not None:
            self._by_peer.pop(peer, None)


def _close(sessions: Iterable[Session]) -> None:
    # Outside of the lock: a rollback may wait for a statement of its transaction.
    for session in sessions:
        session.close()


def _names_one_connection(peer: str) -> bool:
    return peer.startswith(("ipv4:", "ipv6:"))


def _transaction_not_found() -> LakehouseError:
    return LakehouseError(
        ErrorKind.NOT_FOUND,
        "transaction_not_found",
        "There is no such transaction: it has ended, or its session was idle too long.",
    )
