"""Errors of every kind are clean: a code that is documented, a sentence, and nothing of the server's insides."""

import json
import re
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.flight as fl
import pytest
from clean_answers import check_clean, keep_secret, refused
from flight_calls import act, put, query

JSON = {"Content-Type": "application/json"}
DOCUMENTED = set(
    re.findall(r"^\| `(\w+)` \|", (Path(__file__).parents[2] / "docs" / "errors.md").read_text(), re.MULTILINE)
)

WRONG_SQL = {
    "SELEC 1": "syntax_error",
    "SELECT": "syntax_error",
    "SELECT 'a": "syntax_error",
    "SELECT * FROM nowhere": "dataset_not_found",
    "SELECT * FROM nowhere.at.all": "dataset_not_found",
    "SELECT nothing FROM wrong": "binder_error",
    "SELECT no_such_function(1)": "binder_error",
    "SELECT sum(word) FROM wrong": "binder_error",
    "SELECT 1 + 'a'": "binder_error",
    "SELECT 'x'::INTEGER": "conversion_error",
    "SELECT word::INTEGER FROM wrong": "conversion_error",
    "SELECT 300::TINYINT": "conversion_error",
    "SELECT 9223372036854775807 + 1::BIGINT": None,
    "SELECT error('stop')": None,
    "SELECT (SELECT n FROM wrong)": None,
    "SELECT ?": None,
    "SELECT n FROM wrong WHERE n = $x": None,
    "INSERT INTO wrong VALUES (1)": None,
    "INSERT INTO wrong VALUES ('x', 'y', 'z')": None,
    "INSERT INTO nowhere VALUES (1)": "dataset_not_found",
    "CREATE TABLE wrong (a INTEGER)": "dataset_already_exists",
    "CREATE TABLE twice (a INTEGER, A VARCHAR)": None,
    "CREATE TABLE t (a NO_SUCH_TYPE)": None,
    "DROP TABLE nowhere": "dataset_not_found",
    "DELETE FROM nowhere": "dataset_not_found",
    "DROP SCHEMA main": None,
    "SELECT 1; SELECT 2": "multiple_statements",
    "SELECT " + "(" * 5000 + "1" + ")" * 5000: None,
    "SELECT * FROM range(10) WHERE range = '" + "x" * 100_000 + "'": None,
    "SELECT regexp_matches('a', '(')": None,
    "SELECT strptime('a', '%Y')": None,
    "SELECT 1 AS a ORDER BY b": None,
    "SELECT make_date(2020, 13, 45)": None,
    "SELECT json_extract('{', '$.a')": None,
    "SELECT chr(-1)": None,
    "SELECT [1, 2][1:2:0]": None,
    "SELECT repeat('x', 20_000_000) AS big": "row_too_large",
}


@pytest.fixture(scope="module")
def client(local):
    with local.client() as connected:
        put(connected, "wrong", pa.table({"n": [1, 2], "word": ["a", "b"]}))
        yield connected


@pytest.mark.parametrize("sql", WRONG_SQL, ids=lambda sql: repr(sql)[:50])
def test_sql_that_fails_tells_its_code_to_every_client(local, client, sql):
    expected = [WRONG_SQL[sql]] if WRONG_SQL[sql] else []
    with refused(*expected) as by_flight:
        query(client, sql)
    with local.adbc() as connection, connection.cursor() as cursor, refused(*expected) as by_adbc:
        cursor.execute(sql)
        cursor.fetchall()
    by_http = local.http.sql(sql)
    codes = {by_flight.code, by_adbc.code, by_http.code}
    assert len(codes) == 1, codes
    assert codes <= DOCUMENTED
    assert len(by_flight.text.encode()) < 10_000
    assert local.http.sql("SELECT count(*) AS n FROM wrong").json == [{"n": 2}]


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("USE nowhere", "schema_not_found"),
        ("USE nowhere.main", "lake_not_found"),
        ("COMMIT", "no_transaction"),
        ("ROLLBACK", "no_transaction"),
        ("SET threads = 1", "setting_not_allowed"),
    ],
)
def test_what_is_wrong_with_a_session_is_told_to_flight_sql_and_others_are_told_that_they_have_none(
    local, client, sql, code
):
    with local.adbc() as connection, connection.cursor() as cursor, refused(code):
        cursor.execute(sql)
    with refused("session_required", code):
        query(client, sql)
    assert local.http.sql(sql).code in {"session_required", code}


@pytest.mark.parametrize("sql", ["", " ", "-- nothing", ";", "\0", "SELECT 1\0", "SELECT '\x85\u2028'; --\0"])
def test_a_text_that_is_no_statement_is_refused(local, client, sql):
    with refused() as refusal:
        query(client, {"sql": sql or " "})
    assert refusal.code in DOCUMENTED
    assert local.http.sql(sql).code in DOCUMENTED


DESCRIPTORS = [
    fl.FlightDescriptor.for_path(),
    fl.FlightDescriptor.for_path("nowhere"),
    fl.FlightDescriptor.for_path("a", "b", "c", "d"),
    fl.FlightDescriptor.for_path("../../etc/passwd"),
    fl.FlightDescriptor.for_command(b""),
    fl.FlightDescriptor.for_command(b"\xff\xfe\x00"),
    fl.FlightDescriptor.for_command(b"{"),
    fl.FlightDescriptor.for_command(b"{}"),
    fl.FlightDescriptor.for_command(b"[]"),
    fl.FlightDescriptor.for_command(b'{"sql": 1}'),
    fl.FlightDescriptor.for_command(b'{"sql": "SELECT 1", "pramas": []}'),
    fl.FlightDescriptor.for_command(b'{"sql": "SELECT 1", "params": [[1]]}'),
    fl.FlightDescriptor.for_command(b'{"sql": "SELECT 1", "format": "xml"}'),
    fl.FlightDescriptor.for_command(b'{"sql": "FROM wrong", "snapshot": {"lake": 99999999}}'),
    fl.FlightDescriptor.for_command(b'{"sql": "SELECT 1", "snapshot": {"sea": 1}}'),
    fl.FlightDescriptor.for_command(b'{"dataset": "wrong"}'),
    fl.FlightDescriptor.for_command(
        b"\n*type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery\x12\x02\xff\xff"
    ),
    fl.FlightDescriptor.for_command(
        b"\nEtype.googleapis.com/arrow.flight.protocol.sql.CommandStatementSubstraitPlan\x12\x00"
    ),
]


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=range(len(DESCRIPTORS)))
def test_a_descriptor_that_makes_no_sense_is_refused(client, descriptor):
    for call in (client.get_flight_info, client.get_schema):
        with refused() as refusal:
            call(descriptor)
        assert refusal.code in DOCUMENTED
    with refused() as refusal:
        writer, _ = client.do_put(descriptor, pa.schema([]))
        writer.close()
    assert refusal.code in DOCUMENTED


@pytest.mark.parametrize("ticket", [b"", b"x", b"\x01" * 100, b"SELEC 1", b"\xff" * 5000])
def test_a_ticket_that_is_not_ours_is_refused(client, ticket):
    with refused() as refusal:
        client.do_get(fl.Ticket(ticket)).read_all()
    assert refusal.code in DOCUMENTED


@pytest.mark.parametrize("position", [0, 1, 10, 30, -1])
def test_a_ticket_that_was_changed_is_refused(client, position):
    ticket = bytearray(client.get_flight_info(fl.FlightDescriptor.for_command(b"SELECT 1")).endpoints[0].ticket.ticket)
    ticket[position] ^= 1
    with refused() as refusal:
        client.do_get(fl.Ticket(bytes(ticket))).read_all()
    assert refusal.code in DOCUMENTED


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("nothing", b""),
        ("lakehouse.nothing", b"{}"),
        ("lakehouse.dataset", b""),
        ("lakehouse.dataset", b"{"),
        ("lakehouse.dataset", b'{"dataset": 1}'),
        ("lakehouse.dataset", b'{"dataset": "nowhere"}'),
        ("lakehouse.dataset", b'{"dataset": "../x"}'),
        ("lakehouse.dataset", b'{"dataset": "sea.main.x"}'),
        ("lakehouse.drop", b'{"dataset": "nowhere"}'),
        ("lakehouse.register", b'{"dataset": "x", "schema": "AAAA"}'),
        ("lakehouse.register", b'{"dataset": "x", "schema": "!"}'),
        ("lakehouse.history", b'{"dataset": "nowhere"}'),
        ("lakehouse.datasets", b'{"lake": "sea"}'),
        ("CreatePreparedStatement", b"\xff"),
        ("ClosePreparedStatement", b""),
        ("EndTransaction", b""),
        ("CancelFlightInfo", b"\xff\xff"),
        ("RenewFlightEndpoint", b"x"),
        ("SetSessionOptions", b"\xff"),
    ],
)
def test_an_action_that_makes_no_sense_is_refused(client, action, body):
    with refused() as refusal:
        list(client.do_action(fl.Action(action, body)))
    assert refusal.code in DOCUMENTED


def test_calls_that_this_server_does_not_have_are_refused(client):
    with refused() as refusal:
        writer, reader = client.do_exchange(fl.FlightDescriptor.for_command(b"x"))
        with writer:
            writer.done_writing()
            reader.read_all()
    assert refusal.code in DOCUMENTED


@pytest.mark.parametrize(
    ("method", "path", "body", "headers"),
    [
        ("GET", "/nothing", None, {}),
        ("GET", "/../../etc/passwd", None, {}),
        ("GET", "/v1/nothing", None, {}),
        ("PUT", "/v1/sql", b"x", {}),
        ("POST", "/v1/sql", b"", {}),
        ("POST", "/v1/sql", b"{", JSON),
        ("POST", "/v1/sql", b"[]", JSON),
        ("POST", "/v1/sql", b'{"sql": 1}', JSON),
        ("POST", "/v1/sql", b'{"sql": "SELECT 1", "nothing": 1}', JSON),
        ("POST", "/v1/sql", b"\xff\xfe", {"Content-Type": "text/plain"}),
        ("POST", "/v1/sql", b"SELECT 1", {"Content-Type": "image/png"}),
        ("POST", "/v1/sql?format=xml", b"SELECT 1", {"Content-Type": "text/plain"}),
        ("POST", "/v1/sql", b"SELECT 1", {"Content-Type": "text/plain", "Accept": "image/png"}),
        ("GET", "/v1/sql", None, {}),
        ("GET", "/v1/sql?query=CREATE%20TABLE%20x%20(a%20INT)", None, {}),
        ("GET", "/v1/datasets/nowhere", None, {}),
        ("GET", "/v1/datasets/a.b.c.d", None, {}),
        ("GET", "/v1/datasets/..%2f..%2fx", None, {}),
        ("GET", "/v1/datasets?lake=sea", None, {}),
        ("DELETE", "/v1/datasets/nowhere", None, {}),
        ("POST", "/v1/datasets", b"{}", JSON),
        ("POST", "/v1/datasets", b'{"name": "x", "schema": [{"name": "a", "type": "nonsense"}]}', JSON),
        ("POST", "/v1/datasets", b'{"name": "1x", "schema": [{"name": "a", "type": "int64"}]}', JSON),
        ("POST", "/v1/ingest", b"a\n1\n", {"Content-Type": "text/csv"}),
        ("POST", "/v1/ingest?name=x", b"", {"Content-Type": "text/csv"}),
        ("POST", "/v1/ingest?name=x", b"a,b\n1\n", {"Content-Type": "text/csv"}),
        ("POST", "/v1/ingest?name=x", b'a\n"1', {"Content-Type": "text/csv"}),
        ("POST", "/v1/ingest?name=x", b"a\n\xff\n", {"Content-Type": "text/csv"}),
        ("POST", "/v1/ingest?name=x", b"a,a\n1,2\n", {"Content-Type": "text/csv"}),
        ("POST", "/v1/ingest?name=x&mode=nothing", b"a\n1\n", {"Content-Type": "text/csv"}),
        ("POST", "/v1/ingest?name=wrong&mode=create", b"n,word\n1,a\n", {"Content-Type": "text/csv"}),
        ("POST", "/v1/ingest?name=wrong", b"n,word\nx,a\n", {"Content-Type": "text/csv"}),
        ("POST", "/v1/ingest?name=nowhere&mode=append", b"a\n1\n", {"Content-Type": "text/csv"}),
        ("POST", "/v1/ingest?name=x", b"nothing", {"Content-Type": "application/vnd.apache.parquet"}),
        ("POST", "/v1/ingest?name=x", b"PAR1" + b"\0" * 100 + b"PAR1", {"Content-Type": "application/vnd.apache.parquet"}),
        ("POST", "/v1/ingest?name=x", b"nothing", {"Content-Type": "application/vnd.apache.arrow.stream"}),
        ("POST", "/v1/ingest?name=x", b"\xff\xff\xff\xff\x10\0\0\0" * 9, {"Content-Type": "application/vnd.apache.arrow.stream"}),
        ("POST", "/v1/ingest?name=x", b"{", {"Content-Type": "application/x-ndjson"}),
        ("POST", "/v1/ingest?name=x", b"x", {"Content-Type": "text/csv", "Content-Encoding": "gzip"}),
        ("POST", "/v1/ingest?name=x", b"x", {"Content-Type": "text/csv", "Content-Encoding": "br"}),
        ("POST", "/v1/ingest?name=x", b"x", {"Content-Type": "multipart/form-data; boundary=x"}),
        ("POST", "/v1/ingest?name=x", b"x", {"Content-Type": "multipart/form-data"}),
        ("GET", "/healthz", None, {"Host": "evil.example"}),
        ("POST", "/v1/sql", b"SELECT 1", {"Content-Type": "text/plain", "Origin": "https://evil.example"}),
    ],
)  # fmt: skip
def test_a_request_that_makes_no_sense_is_refused(local, client, method, path, body, headers):
    answer = local.http(method, path, body, headers)
    assert 400 <= answer.status < 500 or answer.status == 501
    assert answer.code in DOCUMENTED
    assert answer.json["detail"]
    assert local.http("GET", "/v1/datasets/x").status == 404


def test_bytes_that_are_no_flight_call_do_no_harm(local, client):
    target = urlsplit(local.flight)
    for garbage in (b"\0" * 1000, b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 1000):
        with socket.create_connection((target.hostname, target.port), timeout=10) as connection:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            check_clean(connection.makefile("rb").read().decode(errors="replace"))
    assert act(client, "lakehouse.health")["status"] == "ok"


def test_an_error_in_the_middle_of_a_stream_is_clean(local, client):
    sql = "SELECT CASE WHEN range = 2_999_999 THEN error('in the middle') ELSE range END AS n FROM range(3_000_000)"
    info = client.get_flight_info(fl.FlightDescriptor.for_command(sql.encode()))
    with refused() as refusal:
        client.do_get(info.endpoints[0].ticket).read_all()
    assert refusal.code in DOCUMENTED
    with local.adbc() as connection, connection.cursor() as cursor, refused(refusal.code):
        cursor.execute(sql)
        cursor.fetchall()
    for text_format in ("ndjson", "json", "csv", "arrow"):
        body, code = curl_sql(local, sql, text_format)
        assert code == 18, "curl must see that the answer was cut"
        check_clean(body.decode(errors="replace"))
        if text_format == "ndjson":
            assert json.loads(body.splitlines()[-1])["error"]["code"] == refusal.code


def curl_sql(server, sql: str, text_format: str) -> tuple[bytes, int]:
    command = ["curl", "--silent", "-H", "Content-Type: text/plain", "--data-binary", sql]
    url = f"{server.http_address}/v1/sql?format={text_format}"
    done = subprocess.run([*command, url], capture_output=True, timeout=60, check=False)
    return done.stdout, done.returncode


TIGHT = """
[engine]
memory_bytes = 100_000_000
spill_bytes = 1_000_000
statement_timeout_seconds = 2
[writer]
max_batch_bytes = 1_048_576
"""


def test_a_limit_that_is_met_says_its_name_and_no_path(start, tmp_path):
    keep_secret(str(tmp_path))
    server = start(settings=TIGHT, environ={"TMPDIR": str(tmp_path)})
    wide = "SELECT count(*) FROM (SELECT range, repeat('x', 500) AS x FROM range(2_000_000) ORDER BY hash(range))"
    endless = "SELECT count(*) AS n FROM range(10_000_000_000) a, range(1000) b WHERE hash(a.range) = 7"
    assert server.http.sql(wide).code == "out_of_memory"
    answer = server.http.sql(endless)
    assert (answer.status, answer.code) == (504, "statement_timeout")
    with server.client() as client:
        with refused("out_of_memory"):
            client.do_get(fl.Ticket(wide.encode())).read_all()
        with refused("batch_too_large"):
            put(client, "big", pa.table({"n": range(1_000_000)}))
    assert server.http("GET", "/v1/datasets").json == {"datasets": []}
