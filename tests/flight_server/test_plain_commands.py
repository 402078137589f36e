import pyarrow as pa
import pytest

from catalog import ErrorKind, LakehouseError
from flight_server.plain_commands import (
    PlainPut,
    PlainQuery,
    check_fields,
    check_put,
    decode_json,
    decode_plain_command,
    parameters_batch,
)


@pytest.mark.parametrize(
    ("data", "command"),
    [
        (b"SELECT 1", PlainQuery("SELECT 1")),
        ("SELECT 'é'\n\t-- x".encode(), PlainQuery("SELECT 'é'\n\t-- x")),
        (b'{"sql": "SELECT 1"}', PlainQuery("SELECT 1")),
        (
            b' {"sql": "q", "params": [1, 2.5, "x", true, null], "format": "ndjson", "snapshot": {"lake": 12}}',
            PlainQuery("q", (1, 2.5, "x", True, None), "ndjson", {"lake": 12}),
        ),
        (b'{"sql": "q", "params": [], "format": null}', PlainQuery("q", ())),
        (b'{"sql": "q", "read_only": true}', PlainQuery("q", read_only=True)),
        (b'{"dataset": "a.b"}', PlainPut("a.b", "create_append")),
        (
            b'{"dataset": "t", "mode": "overwrite", "idempotency_key": "k", "explicit_commit": true}',
            PlainPut("t", "overwrite", "k", explicit_commit=True),
        ),
        (
            b'{"dataset": "t", "producer_id": "p", "sequence": 0}',
            PlainPut("t", producer_id="p", sequence=0),
        ),
    ],
)
def test_a_plain_command_is_decoded(data, command):
    assert decode_plain_command(data) == command


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"{", "no valid JSON"),
        (b'{"sql": NaN}', "NaN is not allowed"),
        (b'{"a":' * 100_000, "no valid JSON"),
        (rb'{"sql": "\ud800"}', "no valid JSON"),
        (b"{}", 'needs "sql"'),
        (b'{"sql": 1}', '"sql" must be a text'),
        (b'{"sql": ""}', '"sql" must be a text'),
        (b'{"sql": null}', '"sql" must be a text'),
        (b'{"sql": "q", "params": {"a": 1}}', '"params" must be a list'),
        (b'{"sql": "q", "params": [[1]]}', '"params" must be a list'),
        (b'{"sql": "q", "snapshot": {"lake": "1"}}', '"snapshot" must be'),
        (b'{"sql": "q", "snapshot": {"lake": -1}}', '"snapshot" must be'),
        (b'{"sql": "q", "snapshot": {"lake": true}}', '"snapshot" must be'),
        (b'{"sql": "q", "format": 5}', '"format" must be a text'),
        (b'{"dataset": ["t"]}', '"dataset" must be a text'),
        (b'{"dataset": "t", "mode": "upsert"}', "There is no mode 'upsert'; known are create, append"),
        (b'{"dataset": "t", "sequence": 1}', "go together"),
        (b'{"dataset": "t", "producer_id": "p"}', "go together"),
        (b'{"dataset": "t", "producer_id": "p", "sequence": 1, "idempotency_key": "k"}', "not both"),
        (b'{"dataset": "t", "sequence": 1.0, "producer_id": "p"}', '"sequence" must be an integer'),
        (b'{"dataset": "t", "explicit_commit": "yes"}', "true or false"),
        (b'{"dataset": "t", "idempotency_key": "' + b"k" * 256 + b'"}', "1 to 255 characters"),
    ],
)
def test_a_wrong_plain_command_is_refused(data, text):
    with pytest.raises(LakehouseError, match=text) as raised:
        decode_plain_command(data)
    assert (raised.value.kind, raised.value.code) == (ErrorKind.INVALID_ARGUMENT, "malformed_command")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'{"sql": "q", "parms": []}', "There is no field 'parms'; did you mean 'params'"),
        (b'{"dataset": "t", "idempotency-key": "k"}', "did you mean 'idempotency_key'"),
        (b'{"sql": "q", "zzz": 1}', "known are sql, params, format, snapshot"),
    ],
)
def test_an_unknown_field_is_refused_and_the_nearest_one_named(data, text):
    with pytest.raises(LakehouseError, match=text) as raised:
        decode_plain_command(data)
    assert raised.value.code == "unknown_field"


def test_an_empty_body_is_an_empty_object():
    assert decode_json(b"") == {}
    assert decode_json(b" ") == {}


def test_fields_can_be_checked_by_others():
    check_fields({"lake": "x"}, ("lake", "schema"))
    with pytest.raises(LakehouseError, match="did you mean 'lake'"):
        check_fields({"lakes": "x"}, ("lake", "schema"))


def test_an_upload_by_headers_is_checked_like_one_by_json():
    assert check_put(PlainPut("t", "append", "k")) == PlainPut("t", "append", "k")
    with pytest.raises(LakehouseError, match="There is no mode"):
        check_put(PlainPut("t", "drop"))
    with pytest.raises(LakehouseError, match="1 to 255"):
        check_put(PlainPut("t", idempotency_key=""))


def test_parameters_become_one_row_with_a_column_each():
    batch = parameters_batch((1, 2.5, "x", True, None, 1 << 63))
    assert batch.schema == pa.schema(
        [
            ("0", pa.int64()),
            ("1", pa.float64()),
            ("2", pa.string()),
            ("3", pa.bool_()),
            ("4", pa.null()),
            ("5", pa.decimal128(38, 0)),
        ]
    )
    assert batch.num_rows == 1
    assert parameters_batch(()).num_columns == 0


def test_an_integer_that_nothing_holds_is_refused():
    with pytest.raises(LakehouseError, match="Parameter 1 is an integer of more than 38 digits"):
        parameters_batch((10**38,))
