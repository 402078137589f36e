import threading

import pytest

from catalog import ErrorKind, LakehouseError
from flight_server.sessions import Sessions
from flight_server.settings import SessionSettings

PEER = "ipv4:127.0.0.1:1"


class Transaction:
    def __init__(self, name, *, fails=False):
        self.id = name
        self.fails = fails
        self.rolled_back = 0

    def rollback(self):
        self.rolled_back += 1
        if self.fails:
            raise OSError


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def make(clock, **settings):
    return Sessions(SessionSettings(**{"idle_seconds": 10, "max_sessions": 3, **settings}), clock=clock)


@pytest.fixture
def sessions(clock):
    return make(clock)


def visit(sessions, session_id):
    session = sessions.enter(session_id)
    sessions.leave(session)
    return session


def test_the_same_id_is_the_same_session(sessions):
    assert visit(sessions, "a") is visit(sessions, "a")
    assert visit(sessions, "a") is not visit(sessions, "b")
    assert len(sessions) == 2


def test_options_are_set_read_and_unset(sessions):
    session = visit(sessions, "a")
    session.set_option("catalog", "lake")
    session.set_option("n", 5)
    assert session.option("catalog") == "lake"
    assert session.options == {"catalog": "lake", "n": 5}
    session.set_option("n", None)
    session.set_option("never set", None)
    assert session.option("n") is None


def test_options_are_bounded(clock):
    session = visit(make(clock, max_options=2, max_option_bytes=64), "a")
    session.set_option("a", "x")
    session.set_option("b", "x")
    session.set_option("b", "y")
    with pytest.raises(LakehouseError, match="too_many_session_options"):
        session.set_option("c", "x")
    for name, value in (("a", "x" * 65), ("", "x"), ("n" * 256, "x")):
        with pytest.raises(LakehouseError, match="invalid_session_option"):
            session.set_option(name, value)


def test_transactions_are_held_by_id(sessions):
    session = visit(sessions, "a")
    first, second = Transaction(b"1"), Transaction(b"2")
    assert session.current() is None
    session.add(first)
    assert session.current() is first
    session.add(second)
    assert session.current() is None
    assert session.transaction(b"2") is second
    assert session.remove(b"2") is second
    assert session.current() is first
    for ask in (session.transaction, session.remove):
        with pytest.raises(LakehouseError, match="transaction_not_found") as raised:
            ask(b"2")
        assert raised.value.kind is ErrorKind.NOT_FOUND


def test_transactions_are_bounded(clock):
    session = visit(make(clock, max_transactions=1), "a")
    session.add(Transaction(b"1"))
    with pytest.raises(LakehouseError, match="too_many_transactions") as raised:
        session.add(Transaction(b"2"))
    assert raised.value.kind is ErrorKind.RESOURCE_EXHAUSTED


def test_closing_a_session_rolls_everything_back_whatever_fails(sessions, caplog):
    session = visit(sessions, "a")
    session.set_option("catalog", "lake")
    transactions = [Transaction(b"1", fails=True), Transaction(b"2")]
    for transaction in transactions:
        session.add(transaction)
    assert sessions.close("a")
    assert not sessions.close("a")
    assert [transaction.rolled_back for transaction in transactions] == [1, 1]
    assert "rollback of a closed session's transaction failed" in caplog.text
    assert visit(sessions, "a").options == {}
    with pytest.raises(LakehouseError, match="session_closed"):
        session.add(Transaction(b"3"))


def test_an_idle_session_ends_and_rolls_back(sessions, clock):
    transaction = Transaction(b"1")
    visit(sessions, "a").add(transaction)
    clock.now = 10
    visit(sessions, "b")
    assert len(sessions) == 2
    clock.now = 10.1
    visit(sessions, "b")
    assert len(sessions) == 1
    assert transaction.rolled_back == 1


def test_a_session_with_a_running_call_is_not_idle(sessions, clock):
    session = sessions.enter("a")
    clock.now = 100
    assert sessions.expire() == 0
    sessions.leave(session)
    clock.now = 109
    assert sessions.expire() == 0
    clock.now = 111
    assert sessions.expire() == 1


def test_expiry_needs_no_call(sessions, clock):
    visit(sessions, "a")
    clock.now = 11
    assert sessions.expire() == 1
    assert len(sessions) == 0


def test_a_full_server_forgets_the_idlest_session_that_has_nothing_to_lose(sessions, clock):
    visit(sessions, "with options").set_option("catalog", "lake")
    idle = visit(sessions, "idle")
    visit(sessions, "busy")
    newcomer = visit(sessions, "new")
    assert len(sessions) == 3
    assert visit(sessions, "new") is newcomer
    assert visit(sessions, "with options").option("catalog") == "lake"
    assert visit(sessions, "idle") is not idle


def test_a_server_full_of_state_refuses_newcomers(sessions):
    visit(sessions, "a").set_option("catalog", "lake")
    visit(sessions, "b").add(Transaction(b"1"))
    running = sessions.enter("c")
    with pytest.raises(LakehouseError, match="too_many_sessions") as raised:
        sessions.enter("d")
    assert raised.value.kind is ErrorKind.RESOURCE_EXHAUSTED
    assert visit(sessions, "a").option("catalog") == "lake"
    sessions.leave(running)
    assert visit(sessions, "d").id == "d"


def test_a_connection_without_a_token_keeps_its_session(sessions):
    first = sessions.enter_by_peer(PEER, "1")
    assert sessions.enter_by_peer(PEER, "2") is first
    assert first.id == "1"
    assert sessions.enter_by_peer("ipv6:[::1]:1", "3") is not first


def test_a_client_that_adopts_its_token_keeps_the_session_that_its_first_call_got(sessions):
    first = sessions.enter_by_peer(PEER, "offered")
    first.set_option("catalog", "lake")
    assert sessions.enter("offered") is first


def test_a_session_that_was_claimed_by_its_token_no_longer_belongs_to_the_connection(sessions):
    """Behind a proxy, two clients share a connection: the second must not get the first one's session."""
    first = sessions.enter_by_peer(PEER, "1")
    assert sessions.enter("1") is first
    assert sessions.enter_by_peer(PEER, "2").id == "2"


def test_callers_on_a_unix_socket_are_not_taken_for_one(sessions):
    assert sessions.enter_by_peer("unix:", "1") is not sessions.enter_by_peer("unix:", "2")


def test_a_connection_forgets_a_session_that_has_ended(sessions, clock):
    first = sessions.enter_by_peer(PEER, "1")
    sessions.leave(first)
    clock.now = 11
    assert sessions.enter_by_peer(PEER, "2").id == "2"
    sessions.close("2")
    assert sessions.enter_by_peer(PEER, "3").id == "3"


def test_the_server_ends_all_sessions_when_it_stops(sessions):
    transaction = Transaction(b"1")
    visit(sessions, "a").add(transaction)
    visit(sessions, "b")
    sessions.close_all()
    assert len(sessions) == 0
    assert transaction.rolled_back == 1


def test_many_threads_may_share_the_sessions(clock):
    sessions = make(clock, max_sessions=5)

    def work(worker):
        for turn in range(300):
            session = sessions.enter(str((worker + turn) % 7))
            sessions.leave(session)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sessions) == 5
    assert all(session.calls == 0 for session in sessions._sessions.values())
