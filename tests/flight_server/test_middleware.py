import base64

import pyarrow.flight as fl
import pytest
from adbc_driver_flightsql import dbapi

from catalog import LakehouseError
from flight_server import commands, schemas
from flight_server.auth import OpenHandshake
from flight_server.middleware import CALL, COOKIE, CallFactory, current_call, decode_basic
from flight_server.sessions import Sessions
from flight_server.settings import SessionSettings
from flight_server.tickets import Signer


class SessionServer(fl.FlightServerBase):
    """Answers every call with the id of its session, and remembers what the headers said."""

    def __init__(self, sessions, signer):
        super().__init__(
            "grpc://127.0.0.1:0", auth_handler=OpenHandshake(), middleware={CALL: CallFactory(sessions, signer)}
        )
        self.calls = []

    def identify(self, context):
        call = current_call(context)
        session = call.session(context)
        assert call.session(context) is session
        assert session.calls >= 1
        self.calls.append((call, session.id))
        return session.id.encode()

    def do_action(self, context, action):
        yield self.identify(context)

    def get_flight_info(self, context, descriptor):
        self.identify(context)
        schema = schemas.metadata_schema(commands.decode_command(descriptor.command))
        return fl.FlightInfo(schema, descriptor, [fl.FlightEndpoint(descriptor.command, [])], -1, -1)

    def do_get(self, context, ticket):
        self.identify(context)
        return fl.RecordBatchStream(schemas.metadata_schema(commands.decode_command(ticket.ticket)).empty_table())


class Headers(fl.ClientMiddlewareFactory):
    """Records the headers of every response."""

    def __init__(self):
        super().__init__()
        self.received = []

    def start_call(self, info):
        recorder = self

        class Recorder(fl.ClientMiddleware):
            def received_headers(self, headers):
                recorder.received.append(headers)

        return Recorder()

    def last(self, name):
        for headers in reversed(self.received):
            if name in headers:
                return headers[name]
        return None


@pytest.fixture
def signer():
    return Signer(b"k" * 32)


@pytest.fixture
def sessions():
    return Sessions(SessionSettings())


@pytest.fixture
def server(sessions, signer):
    with SessionServer(sessions, signer) as server:
        yield server


@pytest.fixture
def headers():
    return Headers()


@pytest.fixture
def client(server, headers):
    with fl.connect(f"grpc://127.0.0.1:{server.port}", middleware=[headers]) as client:
        yield client


def who(client, **request):
    options = fl.FlightCallOptions(
        headers=[(name.replace("_", "-").encode(), value.encode()) for name, value in request.items()]
    )
    (result,) = client.do_action(fl.Action("who", b""), options)
    return result.body.to_pybytes().decode()


def test_a_caller_with_nothing_is_offered_token_and_cookie_and_known_by_its_connection(client, headers, signer):
    first = who(client)
    (bearer,) = headers.last("authorization")
    (cookie,) = headers.last("set-cookie")
    token = bearer.removeprefix("Bearer ")
    assert cookie == f"{COOKIE}={token}"
    assert signer.session_id(token) == first
    assert who(client) == first


def test_the_token_names_the_session_from_any_connection(server, client, headers):
    first = who(client)
    (bearer,) = headers.last("authorization")
    headers.received.clear()
    assert who(client, authorization=bearer) == first
    assert headers.last("authorization") is None
    assert headers.last("set-cookie") is None
    with fl.connect(f"grpc://127.0.0.1:{server.port}") as other:
        assert who(other, authorization=bearer) == first
        assert who(other, authorization=bearer.upper().replace(bearer[7:].upper(), bearer[7:])) == first


@pytest.mark.parametrize("form", ["{}={}", 'theme=dark; {}="{}"; $Path=/', "other=x;{}={}"])
def test_the_cookie_names_the_session(client, headers, form):
    first = who(client)
    (bearer,) = headers.last("authorization")
    headers.received.clear()
    assert who(client, cookie=form.format(COOKIE, bearer[7:])) == first
    assert headers.last("set-cookie") is None


def test_the_token_goes_before_the_cookie_and_the_cookie_before_the_connection(client, signer):
    by_connection = who(client)
    token, cookie = signer.new_session_token(), signer.new_session_token()
    assert who(client, cookie=f"{COOKIE}={cookie}") == signer.session_id(cookie) != by_connection
    both = who(client, authorization=f"Bearer {token}", cookie=f"{COOKIE}={cookie}")
    assert both == signer.session_id(token)


def test_a_token_that_we_no_longer_know_is_replaced(client, headers):
    stale = Signer(b"another key").new_session_token()
    session_id = who(client, authorization=f"Bearer {stale}")
    (bearer,) = headers.last("authorization")
    assert bearer != f"Bearer {stale}"
    assert who(client, authorization=bearer) == session_id


def test_a_bearer_token_of_somebody_else_is_left_alone(client, headers):
    session_id = who(client, authorization="Bearer of-the-proxy")
    assert headers.last("authorization") is None
    (cookie,) = headers.last("set-cookie")
    assert who(client, authorization="Bearer of-the-proxy", cookie=cookie) == session_id


def test_a_forged_token_finds_no_session(client, signer):
    token = signer.new_session_token()
    forged = token[:-1] + ("A" if token[-1] != "A" else "B")
    assert who(client, authorization=f"Bearer {forged}") != signer.session_id(token)


def test_pyarrow_logs_in_by_handshake(server, client, signer):
    name, value = client.authenticate_basic_token("ada", "secret")
    assert name == b"authorization"
    session_id = who(client, authorization=value.decode())
    assert session_id == signer.session_id(value.decode().removeprefix("Bearer "))


def test_a_second_handshake_with_the_token_gets_the_same_token(client, headers):
    client.authenticate_basic_token("ada", "secret")
    (bearer,) = headers.last("authorization")
    headers.received.clear()
    client.authenticate_basic_token(
        "ada", "secret", fl.FlightCallOptions(headers=[(b"authorization", bearer.encode())])
    )
    assert headers.last("authorization") is not None


def test_malformed_credentials_are_refused_cleanly(client):
    for credentials in ("Basic !!!", "Basic", "Basic " + base64.b64encode(b"no colon").decode(), "basic /w=="):
        with pytest.raises(fl.FlightUnauthenticatedError, match="invalid_credentials: ") as raised:
            who(client, authorization=credentials)
        assert "Traceback" not in str(raised.value)


def test_basic_credentials_are_read_with_and_without_padding():
    assert decode_basic(base64.b64encode(b"ada:s").decode()) == "ada"
    assert decode_basic(base64.b64encode(b"ada:s").decode().rstrip("=")) == "ada"
    assert decode_basic(base64.b64encode("ö:a:b".encode()).decode()) == "ö"
    with pytest.raises(LakehouseError, match="invalid_credentials"):
        decode_basic("A")


def test_flight_info_gets_its_headers_once(client, headers):
    descriptor = fl.FlightDescriptor.for_command(commands.encode_command(commands.GetCatalogs()))
    client.get_flight_info(descriptor)
    assert len(headers.last("authorization")) == 1
    assert len(headers.last("set-cookie")) == 1


def test_the_request_id_is_kept_or_made(server, client, headers):
    who(client, x_request_id="abc-1")
    assert headers.last("x-request-id") == ["abc-1"]
    assert server.calls[-1][0].request_id == "abc-1"
    who(client, x_request_id="not an id; really")
    (made,) = headers.last("x-request-id")
    assert made.isalnum()


def test_headers_are_read_without_case(server, client):
    who(client, x_lakehouse_mode="append")
    call = server.calls[-1][0]
    assert call.header("X-Lakehouse-Mode") == "append"
    assert call.header("absent") is None
    assert call.headers("x-lakehouse-mode") == ["append"]
    assert call.method == "DO_ACTION"


def test_a_session_is_left_when_its_call_has_ended(server, client):
    for _ in range(3):
        who(client)
    call, _ = server.calls[0]
    # The last call may be ending still; the ones before it have ended, or the next would not have begun.
    assert call._session is None


def test_no_token_is_logged(client, headers, caplog):
    caplog.set_level("DEBUG")
    who(client)
    (bearer,) = headers.last("authorization")
    who(client, authorization=bearer)
    who(client, cookie=f"{COOKIE}={bearer[7:]}")
    assert bearer[7:] not in caplog.text


def test_adbc_keeps_one_session_without_being_told(server):
    uri = f"grpc://127.0.0.1:{server.port}"
    with dbapi.connect(uri, autocommit=True) as connection:
        connection.adbc_get_table_types()
        connection.adbc_get_table_types()
        assert len({session_id for _, session_id in server.calls}) == 1
        assert server.calls[-1][0]._shown
    with dbapi.connect(uri, autocommit=True) as connection:
        connection.adbc_get_table_types()
    assert len({session_id for _, session_id in server.calls}) == 2


def test_adbc_logs_in_with_user_and_password(server):
    credentials = {"username": "ada", "password": "secret"}
    with dbapi.connect(f"grpc://127.0.0.1:{server.port}", db_kwargs=credentials, autocommit=True) as connection:
        connection.adbc_get_table_types()
    assert all(call._shown for call, _ in server.calls)
    assert len({session_id for _, session_id in server.calls}) == 1


def test_adbc_with_a_cookie_jar_keeps_one_session(server):
    options = {"adbc.flight.sql.rpc.with_cookie_middleware": "true"}
    with dbapi.connect(f"grpc://127.0.0.1:{server.port}", db_kwargs=options, autocommit=True) as connection:
        connection.adbc_get_table_types()
    assert len({session_id for _, session_id in server.calls}) == 1


def test_a_full_server_refuses_cleanly(signer):
    sessions = Sessions(SessionSettings(max_sessions=1))
    sessions.enter("busy")
    factory = CallFactory(sessions, signer)
    call = factory.start_call(
        fl.CallInfo(fl.FlightMethod.DO_GET), {"cookie": [f"{COOKIE}={signer.new_session_token()}"]}
    )
    with pytest.raises(LakehouseError, match="too_many_sessions"):
        call.session(None)
    call.call_completed(None)


def test_binary_headers_are_no_text(signer, sessions):
    factory = CallFactory(sessions, signer)
    call = factory.start_call(fl.CallInfo(fl.FlightMethod.DO_GET), {"auth-token-bin": [b"\xff"]})
    assert call.headers("auth-token-bin") == []
