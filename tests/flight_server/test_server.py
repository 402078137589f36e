"""The server's RPCs, through the stock pyarrow client."""

import json

import pyarrow as pa
import pyarrow.flight as fl
import pytest
from flight_calls import act, put, query


def test_rows_come_back_as_they_were_put(client, numbers):
    acknowledgement = put(client, "numbers", numbers)

    assert acknowledgement["rows"] == 10
    assert acknowledgement["snapshot"] == 1
    assert query(client, "SELECT * FROM numbers ORDER BY n").equals(numbers)


def test_a_path_describes_and_reads_a_dataset(client, numbers):
    put(client, "numbers", numbers)
    info = client.get_flight_info(fl.FlightDescriptor.for_path("numbers"))

    assert info.total_records == 10
    assert client.do_get(info.endpoints[0].ticket).read_all().equals(numbers)
    assert client.get_schema(fl.FlightDescriptor.for_path("lake", "main", "numbers")).schema == numbers.schema


def test_a_ticket_can_be_read_again_and_gives_the_same_rows_after_more_were_added(client, numbers):
    put(client, "numbers", numbers)
    info = client.get_flight_info(fl.FlightDescriptor.for_command(b"SELECT count(*) AS n FROM numbers"))
    put(client, "numbers", numbers)

    counts = [client.do_get(info.endpoints[0].ticket).read_all()["n"].to_pylist() for _ in range(2)]

    assert counts == [[10], [10]]
    assert query(client, "SELECT count(*) AS n FROM numbers")["n"].to_pylist() == [20]


def test_a_ticket_that_was_tampered_with_is_refused(client):
    info = client.get_flight_info(fl.FlightDescriptor.for_command(b"SELECT 1"))
    ticket = bytearray(info.endpoints[0].ticket.ticket)
    ticket[-1] ^= 1

    with pytest.raises(pa.ArrowInvalid, match="invalid_ticket"):
        client.do_get(fl.Ticket(bytes(ticket))).read_all()


def test_a_statement_with_an_effect_runs_at_get_flight_info_and_answers_its_count(client):
    info = client.get_flight_info(fl.FlightDescriptor.for_command(b"CREATE TABLE t AS SELECT range AS n FROM range(7)"))

    assert info.total_records == 7
    assert query(client, "SELECT count(*) AS n FROM t")["n"].to_pylist() == [7]
    assert client.do_get(info.endpoints[0].ticket).read_all().to_pydict() == {"Count": [7]}
    assert query(client, "SELECT count(*) AS n FROM t")["n"].to_pylist() == [7]


def test_sql_can_be_a_ticket_but_only_if_it_reads(client):
    assert client.do_get(fl.Ticket(b"SELECT 5 AS n")).read_all().to_pydict() == {"n": [5]}

    with pytest.raises(fl.FlightUnauthorizedError, match="read_only"):
        client.do_get(fl.Ticket(b"CREATE TABLE t AS SELECT 1 AS n"))


def test_get_schema_does_not_run_the_statement(client):
    client.get_schema(fl.FlightDescriptor.for_command(b"CREATE TABLE t AS SELECT 1 AS n"))

    with pytest.raises(pa.ArrowKeyError, match="dataset_not_found"):
        query(client, "FROM t")


def test_a_plain_query_takes_parameters_and_reads_former_snapshots(client, numbers):
    put(client, "numbers", numbers)
    put(client, "numbers", numbers)
    sql = "SELECT count(*) AS n FROM numbers WHERE n < ?"

    assert query(client, {"sql": sql, "params": [3]})["n"].to_pylist() == [6]
    assert query(client, {"sql": sql, "params": [3], "snapshot": {"lake": 1}})["n"].to_pylist() == [3]


def test_a_snapshot_of_a_lake_that_is_not_mounted_is_refused(client):
    with pytest.raises(pa.ArrowKeyError, match="lake_not_found"):
        query(client, {"sql": "SELECT 1", "snapshot": {"pond": 1}})


def test_the_count_of_changed_rows_comes_in_the_format_that_was_asked_for(client):
    answer = query(client, {"sql": "CREATE TABLE t AS SELECT 1 AS n", "format": "ndjson"})

    assert answer.column(0).to_pylist() == ['{"Count":1}\n']


def test_a_read_only_query_may_not_change_anything(client):
    with pytest.raises(fl.FlightUnauthorizedError, match="read_only"):
        query(client, {"sql": "CREATE TABLE t (n INT)", "read_only": True})


def test_a_plain_command_has_no_session(client):
    with pytest.raises(NotImplementedError, match="session_required"):
        query(client, "BEGIN")


def test_rows_can_be_asked_for_as_json_text(client, numbers):
    put(client, "numbers", numbers)
    lines = query(client, {"sql": "SELECT * FROM numbers WHERE n < 2 ORDER BY n", "format": "ndjson"})

    assert [json.loads(line) for line in lines.column(0).to_pylist()] == numbers.slice(0, 2).to_pylist()


def test_flights_list_every_dataset_of_every_lake(serve, numbers):
    server = serve("lake", "pond")
    with fl.connect(server.address) as client:
        put(client, "numbers", numbers)
        put(client, "pond.main.words", numbers)
        paths = {tuple(info.descriptor.path): info.total_records for info in client.list_flights()}

        assert paths == {(b"lake", b"main", b"numbers"): 10, (b"pond", b"main", b"words"): 10}
        assert len(list(client.list_flights(b"pond"))) == 1


def test_a_query_may_join_two_lakes(serve, numbers):
    with fl.connect(serve("lake", "pond").address) as client:
        put(client, "numbers", numbers)
        put(client, "pond.main.numbers", numbers)
        joined = query(client, "SELECT count(*) AS n FROM numbers JOIN pond.main.numbers AS other USING (n)")

        assert joined["n"].to_pylist() == [10]


def test_every_action_is_listed_and_unknown_ones_are_refused(client):
    names = {action.type for action in client.list_actions()}

    assert {"CreatePreparedStatement", "CloseSession", "lakehouse.datasets", "lakehouse.health"} <= names
    with pytest.raises(NotImplementedError, match="unknown_action"):
        act(client, "lakehouse.nothing")


def test_do_exchange_is_refused_by_name(client):
    exchange, _ = client.do_exchange(fl.FlightDescriptor.for_command(b"x"))

    with pytest.raises(NotImplementedError, match="DoExchange"):
        exchange.close()
