import csv
import io
import json
from http.client import HTTPConnection

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

NESTED = "SELECT 1 AS a, [1, 2] AS l, {'x': 'y'} AS s, '\\xFF'::BLOB AS b, INTERVAL 3 MONTH AS i, NULL AS n"


def test_the_default_is_an_array_of_objects(http):
    answer = http.sql("SELECT count(*) FROM range(500000)")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.body == b'[{"count_star()":500000}]'


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_json_and_ndjson_have_a_row_each(http, rows):
    sql = f"SELECT i, 'x' AS s FROM range({rows}) AS t(i)"
    expected = [{"i": i, "s": "x"} for i in range(rows)]
    assert http.sql(sql).json == expected
    assert [json.loads(line) for line in http.sql(sql, format="ndjson").body.splitlines()] == expected


def test_a_statement_may_be_plain_text_or_what_curl_sends_when_it_is_not_told(http):
    for content_type in ("text/plain", "application/sql", "application/x-www-form-urlencoded"):
        assert http("POST", "/v1/sql", "SELECT 1 AS a", {"Content-Type": content_type}).json == [{"a": 1}]
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert http("POST", "/v1/sql", '{"sql": "SELECT 1 AS a"}', form).json == [{"a": 1}]


def test_parameters_are_bound_by_position(http):
    assert http.sql("SELECT ? AS a, ? AS b, ? AS c", 1, "it's", None).json == [{"a": 1, "b": "it's", "c": None}]


def test_a_get_runs_a_query(http):
    assert http("GET", "/v1/sql", query="SELECT 7 AS a").json == [{"a": 7}]


def test_a_get_may_not_write(http):
    answer = http("GET", "/v1/sql", query="CREATE TABLE by_get (a INT)")
    assert (answer.status, answer.code) == (403, "read_only")


def test_csv_has_one_header_and_tells_null_from_empty(http):
    answer = http.sql(
        "SELECT i AS a, CASE i WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'x,\"y' END AS b FROM range(3) AS t(i)",
        format="csv",
    )
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.body == b'"a","b"\n0,\n1,""\n2,"x,""y"\n'
    assert http.sql("SELECT 1 AS a WHERE false", format="csv").body == b'"a"\n'


def test_csv_writes_what_it_has_no_form_for_as_text(http):
    rows = list(csv.reader(io.StringIO(http.sql(NESTED, format="csv").body.decode())))
    assert rows == [["a", "l", "s", "b", "i", "n"], ["1", "[1,2]", '{"x":"y"}', "/w==", "P3M0DT0S", ""]]


def test_arrow_is_a_whole_stream(http, client):
    sql = "SELECT i, i::VARCHAR AS s, [i] AS l FROM range(300000) AS t(i)"
    answer = http.sql(sql, format="arrow")
    assert answer.headers["Content-Type"] == "application/vnd.apache.arrow.stream"
    assert pa.ipc.open_stream(answer.body).read_all() == client.query(sql).to_table()


def test_parquet_is_a_whole_file(http):
    answer = http.sql("SELECT i, i::VARCHAR AS s FROM range(1000) AS t(i)", format="parquet")
    assert pq.read_table(io.BytesIO(answer.body)).num_rows == 1000


def test_a_text_table_is_for_people(http):
    answer = http.sql("SELECT 'x' AS name, 10 AS n UNION ALL SELECT 'long name', 2 ORDER BY n", format="table")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.body.decode() == "name      |  n\n----------+---\nlong name |  2\nx         | 10\n(2 rows)\n"


def test_a_text_table_ends_after_its_limit(http_with):
    answer = http_with(max_table_rows=2).sql("SELECT i FROM range(5) AS t(i)", format="table")
    assert answer.body.decode().endswith("(the first 2 rows)\n")


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "application/json"),
        ("text/csv", "text/csv; charset=utf-8"),
        ("application/x-ndjson, application/json;q=0.5", "application/x-ndjson"),
        ("application/json;q=0.1, application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.stream"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
        ("text/plain", "text/plain; charset=utf-8"),
    ],
)
def test_accept_chooses_the_format(http, accept, content_type):
    headers = {"Accept": accept, "Content-Type": "text/plain"}
    assert http("POST", "/v1/sql", "SELECT 1", headers).headers["Content-Type"] == content_type


def test_what_nobody_accepts_is_refused(http):
    answer = http("POST", "/v1/sql", "SELECT 1", {"Accept": "image/png", "Content-Type": "text/plain"})
    assert (answer.status, answer.code) == (406, "not_acceptable")


def test_a_long_answer_streams_and_a_short_one_keeps_its_length(http):
    assert http.sql("SELECT 1").headers["Content-Length"] is not None
    answer = http.sql("SELECT i FROM range(1000000) AS t(i)")
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert answer.body.count(b"\n") == 999_999
    assert answer.body.endswith(b'{"i":999999}]')


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELEC 1", 400, "syntax_error"),
        ("SELECT * FROM nowhere", 404, "dataset_not_found"),
        ("SELECT x FROM range(3)", 400, "binder_error"),
        ("SELECT 'x'::INT", 400, "conversion_error"),
        ("SELECT * FROM read_csv('/etc/passwd')", 403, None),
        ("COPY (SELECT 1) TO '/tmp/x'", None, None),
        ("SELECT 1; SELECT 2", 400, None),
        ("   ", 400, "sql_missing"),
    ],
)
def test_a_wrong_statement_gets_a_status_of_its_own(http, sql, status, code):
    for result_format in ("json", "csv", "arrow", "parquet"):
        answer = http.sql(sql, format=result_format)
        assert answer.status == status or (status is None and 400 <= answer.status < 600)
        assert code in {None, answer.code}
        assert "Traceback" not in answer.body.decode()
        assert "/work" not in answer.body.decode()


LATE_ERROR = (
    """SELECT CASE WHEN i = 900000 THEN error('late') ELSE repeat('x', 100) END AS v FROM range(1000000) AS t(i)"""
)


def test_an_error_after_the_status_cuts_the_answer_off(http):
    for result_format in ("json", "csv", "arrow"):
        with pytest.raises(Exception, match=r"IncompleteRead|Connection reset|0 bytes read"):
            http.sql(LATE_ERROR, format=result_format)


def test_an_answer_that_is_cut_off_is_one_line_of_the_log(http, caplog):
    caplog.set_level("WARNING")
    headers = {"Content-Type": "text/plain", "X-Request-Id": "cut-1"}
    with pytest.raises(Exception, match=r"IncompleteRead|Connection reset|0 bytes read"):
        http("POST", "/v1/sql", LATE_ERROR, headers)
    (record,) = [record for record in caplog.records if record.name.startswith(("http_shim", "waitress"))]
    assert record.levelname == "WARNING"
    assert record.getMessage() == "an answer was cut off after it began, id=cut-1, code=invalid_input"
    assert record.exc_info is None


def test_an_error_after_the_status_is_the_last_line_of_ndjson(http):
    with pytest.raises(Exception, match="IncompleteRead") as caught:
        http.sql(LATE_ERROR, format="ndjson")
    last = json.loads(caught.value.partial.splitlines()[-1])
    assert last.keys() == {"error"}
    assert "late" in last["error"]["detail"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{", "malformed_json"),
        ("[]", "malformed_json"),
        ("{}", "invalid_request"),
        ('{"sql": 1}', "invalid_request"),
        ('{"sql": ""}', "sql_missing"),
        ('{"sql": "SELECT 1", "params": 1}', "invalid_request"),
        ('{"sql": "SELECT 1", "params": [[1]]}', "invalid_request"),
        ('{"sql": "SELECT 1", "parms": []}', "invalid_request"),
        ('{"sql": "SELECT 1", "format": "xml"}', "unknown_format"),
        (b"\xff", "malformed_json"),
    ],
)
def test_a_malformed_request_is_refused(http, body, code):
    answer = http("POST", "/v1/sql", body, {"Content-Type": "application/json"})
    assert answer.status == 400
    assert answer.code in {code, "not_utf8"}


def test_an_unknown_content_type_is_refused(http):
    answer = http("POST", "/v1/sql", "x", {"Content-Type": "application/xml"})
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


def test_a_statement_that_is_too_long_is_refused(http_with):
    http = http_with(max_sql_bytes=100)
    answer = http("POST", "/v1/sql", "SELECT " + "1" * 100, {"Content-Type": "text/plain"})
    assert (answer.status, answer.code) == (413, "body_too_large")


def test_too_many_streams_are_turned_away(http_with):
    """One slot: a second long answer, asked for while the first waits for its reader, comes back later."""
    http = http_with(max_streams=1, hold_bytes=1, send_buffer_bytes=1 << 16)
    response = open_stream(http)
    answer = http.sql("SELECT i FROM range(3000000) AS t(i)")
    assert (answer.status, answer.code) == (503, "too_many_streams")
    assert answer.headers["Retry-After"] == "1"
    response.close()


def open_stream(http):
    connection = HTTPConnection(http.netloc, timeout=30)
    connection.request("POST", "/v1/sql", "SELECT i FROM range(30000000) AS t(i)", {"Content-Type": "text/plain"})
    response = connection.getresponse()
    assert response.status == 200
    return response


def test_statements_with_effects_work_by_post(http):
    assert http.sql("CREATE TABLE made (a INT)").status == 200
    assert http.sql("INSERT INTO made VALUES (1), (2)").status == 200
    assert http.rows("made") == [{"a": 1}, {"a": 2}]
    assert http.sql("DROP TABLE made").status == 200
