"""Two servers on one bucket are one lake."""

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.flight as fl
import pytest
from clean_answers import refused
from flight_calls import act, put, query
from lakehouse_process import LakehouseProcess

pytestmark = pytest.mark.minio
KEY = {"LAKEHOUSE_FLIGHT__SIGNING_KEY": "a secret of both servers, of 32 bytes or more"}


@pytest.fixture(scope="module")
def servers(s3_server, tmp_path_factory):
    place = s3_server.place()
    pair = [
        LakehouseProcess(tmp_path_factory.mktemp(name), place.uri, environ=place.environ | KEY).start() for name in "ab"
    ]
    yield pair
    for server in pair:
        server.close()


@pytest.fixture
def clients(servers):
    a, b = servers
    with a.client() as first, b.client() as second:
        yield first, second


def test_a_commit_through_one_is_in_the_next_query_through_the_other(servers, clients):
    for number in range(1, 11):
        writer, reader = clients if number % 2 else clients[::-1]
        put(writer, "fresh", pa.table({"n": [number]}))
        assert query(reader, "SELECT count(*) AS n, max(n) AS m FROM fresh").to_pylist() == [{"n": number, "m": number}]
        [row] = servers[number % 2].http.sql("SELECT count(*) AS n FROM fresh").json
        assert row == {"n": number}
    act(clients[0], "lakehouse.drop", dataset="fresh")
    with refused("dataset_not_found"):
        query(clients[1], "FROM fresh")


def test_a_ticket_of_one_is_served_by_the_other_twice_with_the_same_rows_although_more_came(clients):
    a, b = clients
    put(a, "pinned", pa.table({"n": [1, 2, 3]}))
    info = a.get_flight_info(fl.FlightDescriptor.for_command(b"SELECT n FROM pinned ORDER BY n"))
    ticket = fl.Ticket.deserialize(info.endpoints[0].ticket.serialize())

    put(b, "pinned", pa.table({"n": [4]}))
    first = b.do_get(ticket).read_all()
    put(a, "pinned", pa.table({"n": [5]}), x_lakehouse_mode="overwrite")
    second = b.do_get(ticket).read_all()

    assert first["n"].to_pylist() == second["n"].to_pylist() == [1, 2, 3]
    assert first.schema == second.schema == info.schema
    assert a.do_get(ticket).read_all() == first
    assert query(b, "FROM pinned")["n"].to_pylist() == [5]


def test_a_ticket_carries_its_parameters_to_the_other(clients):
    a, b = clients
    put(a, "numbers", pa.table({"n": [1, 2, 3]}))
    command = b'{"sql": "SELECT n FROM numbers WHERE n > ? ORDER BY n", "params": [1]}'
    info = a.get_flight_info(fl.FlightDescriptor.for_command(command))
    assert b.do_get(info.endpoints[0].ticket).read_all()["n"].to_pylist() == [2, 3]


def test_a_ticket_of_another_key_is_refused(clients, start, s3_place):
    other = start(s3_place)
    with other.client() as client:
        info = client.get_flight_info(fl.FlightDescriptor.for_command(b"SELECT 1 AS n"))
    with refused("invalid_ticket"):
        clients[0].do_get(info.endpoints[0].ticket).read_all()


def test_the_same_key_through_both_servers_adds_the_rows_once(servers):
    def send(server: LakehouseProcess) -> bool:
        with server.client() as client:
            return put(client, "keyed", pa.table({"n": [1]}), idempotency_key="k")["replayed"]

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(send, servers)) == [False, True]
    assert servers[0].http.sql("SELECT count(*) AS n FROM keyed").json == [{"n": 1}]


def test_both_write_one_dataset_at_the_same_time(servers):
    def append(server: LakehouseProcess, worker: int) -> list[int]:
        with server.client() as client:
            return [put(client, "shared", pa.table({"w": [worker], "n": [n]}))["version"] for n in range(30)]

    with ThreadPoolExecutor(2) as pool:
        versions = list(pool.map(append, servers, range(2)))
    assert sorted(versions[0] + versions[1]) == list(range(1, 61))
    for server in servers:
        assert server.http.sql("SELECT count(*) AS n, count(DISTINCT (w, n)) AS d FROM shared").json == [
            {"n": 60, "d": 60}
        ]


def test_one_goes_on_when_the_other_is_killed(start, s3_place):
    a, b = (start(s3_place, environ=KEY) for _ in range(2))
    with a.client() as client:
        put(client, "trips", pa.table({"n": [1]}))
        info = client.get_flight_info(fl.FlightDescriptor.for_command(b"SELECT n FROM trips"))
    a.kill()
    with b.client() as client:
        assert client.do_get(info.endpoints[0].ticket).read_all()["n"].to_pylist() == [1]
        assert put(client, "trips", pa.table({"n": [2]}))["version"] == 2
