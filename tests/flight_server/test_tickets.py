from dataclasses import replace

import pytest

from catalog import ErrorKind, LakehouseError
from flight_server.protocol import unpack
from flight_server.tickets import PreparedHandle, Signer, StatementTicket, is_sealed, is_session_token

KEY = b"k" * 32
TICKET = StatementTicket("SELECT 1", "lake", "main", 1000)


@pytest.fixture
def signer():
    return Signer(KEY, clock=lambda: 999.0)


@pytest.mark.parametrize(
    "ticket",
    [
        TICKET,
        StatementTicket(
            "SELECT " + "x, " * 1000,
            "lake",
            "main",
            1000,
            parameters=b"\x00\xff" * 300,
            snapshots={"lake": 0, "other": (1 << 63) - 1},
            principal="me",
            text="ndjson",
            transaction_id=b"tx",
        ),
        StatementTicket("", "", "", 1000, parameters=b"", text="", transaction_id=b""),
    ],
)
def test_a_ticket_survives_the_wire(signer, ticket):
    assert signer.open_ticket(signer.seal_ticket(ticket)) == ticket


@pytest.mark.parametrize(
    "handle",
    [PreparedHandle("SELECT ?", False, 1000), PreparedHandle("q", True, 1000, b"tx", b"parameters", "me")],
)
def test_a_handle_survives_the_wire(signer, handle):
    assert signer.open_handle(signer.seal_handle(handle)) == handle


def test_any_replica_with_the_key_opens_a_ticket_any_number_of_times(signer):
    other = Signer(KEY, clock=lambda: 1000.0)
    data = signer.seal_ticket(TICKET)
    assert other.open_ticket(data) == other.open_ticket(data) == TICKET


def test_a_ticket_is_compact_and_differs_from_others_of_the_same_query(signer):
    assert signer.seal_ticket(TICKET) == signer.seal_ticket(TICKET)
    assert signer.seal_ticket(TICKET) != signer.seal_ticket(replace(TICKET, nonce=b"another"))
    assert StatementTicket("SELECT 1", "lake", "main", 1).nonce != StatementTicket("SELECT 1", "lake", "main", 1).nonce
    assert len(signer.seal_ticket(TICKET)) < 70
    assert len(signer.seal_ticket(StatementTicket("SELECT 1; " * 1000, "lake", "main", 1000))) < 200


def test_every_changed_byte_is_noticed(signer):
    data = signer.seal_ticket(TICKET)
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        with pytest.raises(LakehouseError, match="invalid_ticket"):
            signer.open_ticket(bytes(changed))


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01S", b"\x01S" + b"\0" * 16, b"SELECT 1", b"\x01S" + b"\0" * 100])
def test_what_is_no_ticket_is_refused(signer, data):
    with pytest.raises(LakehouseError, match="invalid_ticket") as raised:
        signer.open_ticket(data)
    assert raised.value.kind is ErrorKind.INVALID_ARGUMENT


def test_another_key_opens_nothing(signer):
    for other in (Signer(b"j" * 32), Signer()):
        with pytest.raises(LakehouseError, match="invalid_ticket"):
            other.open_ticket(signer.seal_ticket(TICKET))
        assert other.session_id(signer.new_session_token()) is None


def test_one_kind_is_not_taken_for_another(signer):
    with pytest.raises(LakehouseError, match="invalid_handle"):
        signer.open_handle(signer.seal_ticket(TICKET))
    with pytest.raises(LakehouseError, match="invalid_ticket"):
        signer.open_ticket(signer.seal_handle(PreparedHandle("q", False, 1000)))


def test_a_ticket_expires():
    data = Signer(KEY).seal_ticket(StatementTicket("q", "lake", "main", 1000.2))
    assert Signer(KEY, clock=lambda: 1000.9).open_ticket(data).expires_at == 1001
    with pytest.raises(LakehouseError, match="ticket_expired") as raised:
        Signer(KEY, clock=lambda: 1001.1).open_ticket(data)
    assert raised.value.kind is ErrorKind.NOT_FOUND
    with pytest.raises(LakehouseError, match="handle_expired"):
        Signer(KEY, clock=lambda: 11.0).open_handle(Signer(KEY).seal_handle(PreparedHandle("q", False, 10)))


def test_a_ticket_can_be_renewed_while_it_is_valid(signer):
    renewed = signer.renew_ticket(signer.seal_ticket(TICKET), 2000)
    assert signer.open_ticket(renewed) == replace(TICKET, expires_at=2000)
    with pytest.raises(LakehouseError, match="ticket_expired"):
        signer.renew_ticket(signer.seal_ticket(replace(TICKET, expires_at=1)), 2000)


def test_a_sealed_value_is_never_taken_for_a_command(signer):
    data = signer.seal_ticket(TICKET)
    assert is_sealed(data)
    assert unpack(data) is None
    assert not is_sealed(b"SELECT 1")
    assert not is_sealed(b"")


def test_a_session_token_is_short_and_opens_to_its_id(signer):
    token = signer.new_session_token()
    assert len(token) <= 48
    assert token.isascii()
    assert not set(token) & set(' ;,="')
    assert is_session_token(token)
    assert len(signer.session_id(token)) == 28
    assert signer.session_id(token) != signer.session_id(signer.new_session_token())


def test_a_changed_session_token_is_noticed(signer):
    token = signer.new_session_token()
    for position in range(len(token)):
        changed = token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1 :]
        assert signer.session_id(changed) is None
    for bad in ("", "lh1-", "lh1-é", "lh1-" + "A" * 1000, token + "A", token[:-1]):
        assert signer.session_id(bad) is None
