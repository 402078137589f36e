import pytest
from http_calls import Http
from servers import flight_client, http_server


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with flight_client(tmp_path_factory.mktemp("lake")) as client:
        yield client


@pytest.fixture(scope="module")
def http(client):
    with http_server(client) as server:
        yield Http(server.address)


@pytest.fixture
def http_with(client):
    """Starts a server of this test's own, with settings."""
    opened = []

    def start(**settings) -> Http:
        opened.append(http_server(client, **settings))
        return Http(opened[-1].__enter__().address)

    yield start
    for server in opened:
        server.__exit__(None, None, None)
