"""Rows in: modes, exactly-once, and uploads that must not count."""

import json

import pyarrow as pa
import pyarrow.flight as fl
import pytest
from flight_calls import put, query


def count(client, dataset="numbers"):
    return query(client, f"SELECT count(*) AS n FROM {dataset}")["n"].to_pylist()[0]


@pytest.mark.parametrize(
    ("mode", "rows_if_missing", "rows_if_there"),
    [("create", 10, None), ("append", None, 20), ("overwrite", 10, 10), ("create_append", 10, 20)],
)
def test_the_mode_decides_what_happens_to_a_dataset(client, numbers, mode, rows_if_missing, rows_if_there):
    for expected in (rows_if_missing, rows_if_there):
        if expected is None:
            with pytest.raises((pa.ArrowInvalid, pa.ArrowKeyError), match=r"dataset_(already_exists|not_found)"):
                put(client, "numbers", numbers, x_lakehouse_mode=mode)
            put(client, "numbers", numbers, x_lakehouse_mode="overwrite")
        else:
            put(client, "numbers", numbers, x_lakehouse_mode=mode)
            assert count(client) == expected


def test_an_append_is_matched_by_column_name(client, numbers):
    put(client, "numbers", numbers)
    put(client, "numbers", numbers.select(["word", "n"]))

    assert query(client, "SELECT sum(n)::BIGINT AS n FROM numbers")["n"].to_pylist() == [90]


def test_an_append_of_another_schema_is_refused_and_names_the_columns(client, numbers):
    put(client, "numbers", numbers)

    with pytest.raises(pa.ArrowInvalid, match=r"schema_mismatch.*other"):
        put(client, "numbers", pa.table({"n": [1], "other": [2]}))
    assert count(client) == 10


def test_the_same_key_adds_the_rows_once_and_repeats_the_answer(client, numbers):
    first = put(client, "numbers", numbers, idempotency_key="monday")
    again = put(client, "numbers", numbers, idempotency_key="monday")

    assert again == {**first, "replayed": True}
    assert count(client) == 10


def test_the_same_key_with_other_rows_is_refused(client, numbers):
    put(client, "numbers", numbers, idempotency_key="monday")

    with pytest.raises(pa.ArrowInvalid, match="idempotency_key_reused"):
        put(client, "numbers", numbers.slice(1), idempotency_key="monday")
    assert count(client) == 10


def test_the_same_key_with_other_words_in_a_dictionary_is_refused(client):
    def words(*values):
        return pa.table({"word": pa.array(values).dictionary_encode()})

    put(client, "numbers", words("a", "b"), idempotency_key="monday")

    with pytest.raises(pa.ArrowInvalid, match="idempotency_key_reused"):
        put(client, "numbers", words("x", "y"), idempotency_key="monday")
    assert put(client, "numbers", words("a", "b"), idempotency_key="monday")["replayed"] is True


def test_a_create_with_a_key_can_be_repeated(client, numbers):
    command = {"dataset": "numbers", "mode": "create", "idempotency_key": "once"}
    put(client, command, numbers)

    assert put(client, command, numbers)["replayed"] is True
    with pytest.raises(pa.ArrowInvalid, match="dataset_already_exists"):
        put(client, {**command, "idempotency_key": "twice"}, numbers)


def test_a_producers_sequence_number_counts_once(client, numbers):
    def produce(sequence):
        return put(client, {"dataset": "numbers", "producer_id": "sensor", "sequence": sequence}, numbers)["replayed"]

    assert [produce(1), produce(1), produce(2), produce(1)] == [False, True, False, True]
    assert count(client) == 20


def explicit_upload(client, table, message):
    command = json.dumps({"dataset": "numbers", "explicit_commit": True}).encode()
    writer, reader = client.do_put(fl.FlightDescriptor.for_command(command), table.schema)
    with writer:
        writer.write_table(table)
        if message is not None:
            writer.write_metadata(json.dumps(message).encode())
        writer.done_writing()
        return reader.read()


def test_an_explicit_upload_counts_only_with_its_commit_message(client, numbers):
    with pytest.raises((fl.FlightCancelledError, KeyboardInterrupt), match="upload_abandoned"):
        explicit_upload(client, numbers, None)
    with pytest.raises(pa.ArrowInvalid, match="malformed_upload"):
        explicit_upload(client, numbers, {"commit": True, "rows": 11})
    with pytest.raises(pa.ArrowKeyError, match="dataset_not_found"):
        count(client)

    explicit_upload(client, numbers, {"commit": True, "rows": 10})
    assert count(client) == 10


def test_a_dataset_without_rows_keeps_its_schema(client, numbers):
    put(client, "numbers", numbers.slice(0, 0))

    assert query(client, "FROM numbers").schema == numbers.schema
    assert count(client) == 0


def test_too_many_uploads_at_once_are_refused(serve, numbers):
    server = serve(max_concurrent_uploads=1)
    with fl.connect(server.address) as client:
        writer, reader = client.do_put(fl.FlightDescriptor.for_path("slow"), numbers.schema)
        writer.write_table(numbers)
        wait_for_the_handler(client, server)

        with pytest.raises(fl.FlightUnavailableError, match="too_many_uploads"):
            put(client, "quick", numbers)

        writer.done_writing()
        assert json.loads(reader.read().to_pybytes())["rows"] == 10
        writer.close()


def wait_for_the_handler(client, server):
    """Nothing on the client's side tells that the server has begun to read an upload."""
    while server._uploads._slots._value:
        list(client.list_actions())
