import ast
import itertools
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from catalog import ErrorKind as ServerErrorKind
from catalog import LakehouseError
from clients import ErrorKind, LakehouseClientError
from clients.errors import KIND_OF_CODE, client_error, translated
from flight_server.errors import WIRE_ERRORS, guarded, rpc

ROOT = Path(__file__).parents[2]
SHARED_KINDS = {"ALREADY_EXISTS", "CONFLICT", "TOO_LARGE", "RESOURCE_EXHAUSTED", "OUTCOME_UNKNOWN"}
"""Kinds that share their Flight exception with another kind."""


class Raising(fl.FlightServerBase):
    """Raises the error that the request names, from every kind of call."""

    asked_to_stop = threading.Event()

    @rpc
    def do_action(self, _context, action):
        if action.type == "wait":
            self.asked_to_stop.wait(10)
            return iter([])
        raise the_error(action.type)

    @rpc
    def get_schema(self, _context, descriptor):
        raise the_error(descriptor.command.decode())

    @rpc
    def do_get(self, context, ticket):
        def batches():
            yield pa.record_batch({"a": [1]})
            raise LakehouseError(ServerErrorKind(ticket.ticket.decode()), "some_code", "late: it broke")

        return fl.GeneratorStream(pa.schema([("a", pa.int64())]), guarded(batches(), context))


def the_error(kind: str) -> LakehouseError:
    return LakehouseError(ServerErrorKind(kind), "some_code", "A message: with a colon.\nAnd Detail: two lines")


@pytest.fixture(scope="module")
def channel():
    with Raising("grpc://127.0.0.1:0") as server, fl.connect(f"grpc://127.0.0.1:{server.port}") as channel:
        yield channel


def caught(call) -> LakehouseClientError:
    with pytest.raises(LakehouseClientError) as error, translated():
        call()
    return error.value


def test_the_kinds_are_those_of_the_server():
    assert {kind.name: kind.value for kind in ErrorKind} == {kind.name: kind.value for kind in ServerErrorKind}


@pytest.mark.parametrize("kind", [kind for kind in ServerErrorKind if kind.name not in SHARED_KINDS])
def test_an_error_arrives_with_its_kind_code_and_message(channel, kind):
    for call in (
        lambda: list(channel.do_action((kind.value, b""))),
        lambda: channel.get_schema(fl.FlightDescriptor.for_command(kind.value)),
    ):
        error = caught(call)
        assert (error.kind.name, error.code) == (kind.name, "some_code")
        assert error.message == "A message: with a colon.\nAnd Detail: two lines"


def test_an_error_in_mid_stream_arrives_clean(channel):
    error = caught(lambda: list(channel.do_get(fl.Ticket(b"unavailable"))))
    assert (error.kind, error.code, error.message) == (ErrorKind.UNAVAILABLE, "some_code", "late: it broke")


def test_a_server_that_is_not_there_is_unavailable():
    with fl.connect("grpc://127.0.0.1:1") as nobody:
        error = caught(lambda: list(nobody.do_action(("x", b""))))
    assert (error.kind, error.code) == (ErrorKind.UNAVAILABLE, "server_unreachable")


def test_a_deadline_that_passes_is_a_timeout(channel):
    options = fl.FlightCallOptions(timeout=0.05)
    error = caught(lambda: list(channel.do_action(("wait", b""), options)))
    Raising.asked_to_stop.set()
    assert (error.kind, error.code) == (ErrorKind.TIMEOUT, "deadline_exceeded")


def test_text_without_a_code_gets_the_code_of_its_kind():
    assert client_error(pa.ArrowInvalid("just words")).code == "invalid_argument"
    assert client_error(fl.FlightInternalError("just words")).code == "internal_error"


def test_every_code_of_a_kind_that_shares_its_exception_is_known():
    """pyarrow cannot send these kinds, so the code must tell them."""
    paths = [*(ROOT / "catalog").rglob("*.py"), *(ROOT / "flight_server").rglob("*.py")]
    nodes = itertools.chain.from_iterable(ast.walk(ast.parse(path.read_text())) for path in paths)
    found = {code: kind for kind, code in itertools.chain.from_iterable(map(pairs, nodes)) if kind in SHARED_KINDS}
    assert found
    assert {code: kind.name for code, kind in KIND_OF_CODE.items()} == found


def pairs(node: ast.AST):
    """Yield every ``ErrorKind.X, "code"`` that stands side by side."""
    match node:
        case ast.Call(args=parts) | ast.Tuple(elts=parts):
            for left, right in itertools.pairwise(parts):
                match left, right:
                    case ast.Attribute(value=ast.Name(id="ErrorKind"), attr=kind), ast.Constant(value=str(code)):
                        yield kind, code


def test_no_two_kinds_share_an_exception_but_those_that_codes_tell_apart():
    alone = [kind for kind in WIRE_ERRORS if kind.name not in SHARED_KINDS]
    assert len({WIRE_ERRORS[kind] for kind in alone}) == len(alone)
