import pytest
from servers import http_server

from clients import ErrorKind, LakehouseClientError, connect
from clients.address import flight_uri


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("grpc://host:1", "grpc://host:1"),
        ("grpc+tcp://host:1/", "grpc://host:1"),
        ("grpc+tls://host", "grpc+tls://host:8815"),
        ("flightsql://host:1?transport=tcp", "grpc://host:1"),
        ("flightsql://host:1", "grpc+tls://host:1"),
        ("flightsql://host:1?transport=tls", "grpc+tls://host:1"),
        ("host:1", "grpc://host:1"),
        ("localhost", "grpc://localhost:8815"),
        ("grpc://[::1]:1", "grpc://[::1]:1"),
    ],
)
def test_an_address_may_be_spelled_as_other_flight_clients_do(written: str, meant: str):
    assert flight_uri(written) == meant


@pytest.mark.parametrize(
    "address", ["http://host:1", "grpc://host:port", "grpc://", "", "grpc://host/path", "grpc://["]
)
def test_what_is_no_flight_address_is_said(address: str):
    with pytest.raises(LakehouseClientError) as caught:
        connect(address)
    assert (caught.value.code, caught.value.kind) == ("invalid_address", ErrorKind.INVALID_ARGUMENT)
    assert caught.value.message == f"{address}: is not a Flight address, such as grpc://127.0.0.1:8815."


def unreachable(uri: str) -> str:
    with connect(uri) as client, pytest.raises(LakehouseClientError) as caught:
        client.datasets()
    assert (caught.value.code, caught.value.kind) == ("server_unreachable", ErrorKind.UNAVAILABLE)
    return caught.value.message


def test_without_a_server_the_way_to_one_is_said():
    assert unreachable("127.0.0.1:1") == 'No server answers at grpc://127.0.0.1:1: start one with "lakehouse serve".'


def test_the_http_port_is_told_from_the_flight_port(client):
    with http_server(client) as server:
        uri = server.address.replace("http:", "grpc:")
        assert unreachable(uri).startswith(f"What answers at {uri} does not speak Flight: give the address that ")


def test_tls_to_a_plain_port_is_said(server):
    uri = server.address.replace("grpc:", "grpc+tls:")
    assert unreachable(uri) == f"What answers at {uri} does not speak TLS, or its certificate is not trusted."
