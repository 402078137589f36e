import pytest
from servers import flight_server

from clients import connect


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with flight_server(tmp_path_factory.mktemp("lake")) as server:
        yield server


@pytest.fixture
def client(server):
    with connect(server.address) as client:
        yield client
