import gzip
import io
import json
from contextlib import closing
from http.client import HTTPConnection

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from http_calls import Answer

from lakehouse.sample_data import workers, write_workers_csv

CSV = "id,name,at\n1,x,2024-01-01\n2,y,2024-01-02\n"
ROWS = [{"id": 1, "name": "x", "at": "2024-01-01"}, {"id": 2, "name": "y", "at": "2024-01-02"}]
TABLE = pa.table({"id": [1, 2], "name": ["x", None], "l": [[1], []]})


def parquet_bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def stream_bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def file_bytes(table: pa.Table, compression: str = "uncompressed") -> bytes:
    sink = io.BytesIO()
    pyarrow.feather.write_feather(table, sink, compression=compression)
    return sink.getvalue()


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def test_a_csv_file_becomes_a_dataset_and_answers_its_manifest(http):
    answer = http.form(CSV, "trips.csv", "text/csv", name="trips")
    assert answer.status == 200
    manifest = answer.json
    assert manifest == http("GET", "/v1/datasets/trips").json | {
        "rows_ingested": 2,
        "bytes_ingested": manifest["bytes"],
        "ingest_snapshot": manifest["snapshot"],
        "replayed": False,
        "columns": [
            {"name": "id", "type": "bigint"},
            {"name": "name", "type": "text"},
            {"name": "at", "type": "date"},
        ],
    }
    assert manifest["row_count"] == 2
    assert http.rows("trips") == ROWS


@pytest.mark.parametrize(
    ("content", "content_type", "filename"),
    [
        (CSV, "text/csv", ""),
        (CSV, "text/csv; charset=utf-8", ""),
        (CSV.replace(",", "\t"), "text/tab-separated-values", ""),
        (CSV, "application/x-www-form-urlencoded", "x.csv"),
        (gzip.compress(CSV.encode(), mtime=0), "", "x.csv.gz"),
        (zstd(CSV.encode()), "application/octet-stream", "x.csv.zst"),
        ("".join(json.dumps(row) + "\n" for row in ROWS), "application/x-ndjson", ""),
        (json.dumps(ROWS), "application/json", ""),
        (gzip.compress(json.dumps(ROWS).encode(), mtime=0), "", "x.json.gz"),
    ],
)
def test_text_files_come_in_by_content_type_or_suffix(http, content, content_type, filename):
    query = {"filename": filename} if filename else {}
    answer = http.upload(content, content_type, None, name="texts", mode="overwrite", **query)
    assert answer.status == 200, answer.body
    assert http.rows("texts") == ROWS


@pytest.mark.parametrize(
    ("content", "content_type", "filename"),
    [
        (parquet_bytes(TABLE), "application/vnd.apache.parquet", "x"),
        (parquet_bytes(TABLE), "", "x.parquet"),
        (parquet_bytes(TABLE), "application/octet-stream", "x"),
        (gzip.compress(parquet_bytes(TABLE), mtime=0), "", "x.parquet.gz"),
        (stream_bytes(TABLE), "application/vnd.apache.arrow.stream", "x"),
        (stream_bytes(TABLE), "", "x.arrows"),
        (zstd(stream_bytes(TABLE)), "", "x.arrows.zst"),
        (file_bytes(TABLE), "application/vnd.apache.arrow.file", "x"),
        (file_bytes(TABLE, "zstd"), "", "x.feather"),
    ],
)
def test_binary_files_come_in_by_content_type_suffix_or_first_bytes(http, client, content, content_type, filename):
    answer = http.form(content, filename, content_type, name="binaries", mode="overwrite")
    assert answer.status == 200, answer.body
    assert client.query("FROM binaries").to_table().to_pylist() == TABLE.to_pylist()


def test_a_content_encoding_is_undone(http):
    headers = {"Content-Encoding": "gzip"}
    assert http.upload(gzip.compress(CSV.encode(), mtime=0), "text/csv", headers, name="encoded").status == 200
    assert http.rows("encoded") == ROWS


def test_uploads_that_nobody_can_name_are_refused(http):
    assert http.upload(b"abc", "application/octet-stream", name="x").code == "unknown_file_format"
    assert http.upload(CSV, "text/csv", None, name="x", format="xml").code == "unknown_format"
    answer = http.upload(CSV, "text/csv", {"Content-Encoding": "br"}, name="x")
    assert (answer.status, answer.code) == (415, "unsupported_encoding")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({}, "name_missing"),
        ({"name": "x", "mode": "replace"}, "unknown_mode"),
        ({"name": "x", "delimiter": "||"}, "invalid_delimiter"),
        ({"name": "1 bad name"}, None),
        ({"name": "missing", "mode": "append"}, "dataset_not_found"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(http, query, code):
    answer = http.upload(CSV, "text/csv", None, **query)
    assert answer.status in {400, 404}
    assert code in {None, answer.code}


def test_modes_do_what_they_say(http):
    assert http.upload(CSV, name="modes", mode="create").status == 200
    again = http.upload(CSV, name="modes", mode="create")
    assert (again.status, again.code) == (409, "dataset_already_exists")
    assert http.upload(CSV, name="modes", mode="append").json["row_count"] == 4
    repeated = http.upload(CSV, name="modes").json
    assert repeated["row_count"] == 6
    assert "columns" not in repeated
    assert http.upload("other\nx\n", name="modes", mode="overwrite").json["row_count"] == 1
    assert http.rows("modes") == [{"other": "x"}]


def test_an_appended_csv_takes_the_types_of_the_dataset(http):
    schema = [{"name": "id", "type": "smallint"}, {"name": "zip", "type": "text"}]
    http("POST", "/v1/datasets", json.dumps({"name": "typed", "schema": schema}), {"Content-Type": "application/json"})
    assert http.upload("zip,ID\n60601,1\n", name="typed").json["row_count"] == 1
    assert http.rows("typed") == [{"id": 1, "zip": "60601"}]
    wrong = http.upload('zip,id\n"a\nb",1\n60602,70000\n', name="typed")
    assert (wrong.status, wrong.code, wrong.json["line"]) == (400, "csv_value_mismatch", 4)
    assert http("GET", "/v1/datasets/typed").json["row_count"] == 1
    other = http.upload("zip,other\n1,2\n", name="typed")
    assert (other.status, other.code) == (400, "schema_mismatch")


def test_a_refused_file_registers_nothing(http):
    answer = http.upload("a,b\n" + "1,2\n" * 300_000 + "3\n", name="refused")
    assert (answer.status, answer.code, answer.json["line"]) == (400, "csv_ragged_row", 300_002)
    assert http("GET", "/v1/datasets/refused").code == "dataset_not_found"


def test_a_header_alone_registers_a_dataset_of_texts(http):
    manifest = http.upload("a,b\n", name="header_only").json
    assert manifest["row_count"] == 0
    assert [field["type"] for field in manifest["schema"]] == ["string", "string"]


def test_the_workers_come_in_whole_and_their_badge_is_text(http, client, tmp_path, caplog):
    caplog.set_level("INFO", logger="http_shim")
    write_workers_csv(tmp_path / "workers.csv", 50_000)
    answer = http.form((tmp_path / "workers.csv").read_bytes(), "workers.csv", "text/csv", name="workers")
    assert answer.json["row_count"] == 50_000
    (note,) = [column for column in answer.json["columns"] if "why" in column]
    assert note == {
        "name": "badge",
        "type": "text",
        "why": "its first 1000 rows are bigint, but line 1002 is 'B-11001'. Use TRY_CAST(badge AS BIGINT), "
        "or correct the file and ingest it again with mode=overwrite.",
    }
    assert "'badge' is text: its first 1000 rows are bigint" in caplog.text
    assert client.query("FROM workers ORDER BY id").to_table() == workers(50_000, 7)


def test_the_size_of_the_sample_is_a_setting(http_with):
    http = http_with(sample_rows=2)
    (column,) = http.upload("a\n1\n2\nx\n", name="sampled").json["columns"]
    assert column["why"].startswith("its first 2 rows are bigint, but line 4 is 'x'. ")


def test_a_file_that_may_have_another_delimiter_is_loaded_with_a_note(http):
    (column,) = http.upload("a;b\n1;2\n", name="semicolons").json["columns"]
    assert column["why"].startswith("the header has one column and holds ';'")
    assert http.rows("semicolons") == [{"a;b": "1;2"}]


def test_an_idempotency_key_adds_the_rows_once(http):
    key = {"Idempotency-Key": "key-1"}
    first = http.upload(CSV, "text/csv", key, name="once")
    assert first.headers["Idempotency-Replayed"] is None
    again = http.upload(CSV, "text/csv", key, name="once")
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (again.status, again.json["rows_ingested"], again.json["row_count"]) == (200, 2, 2)
    assert again.json["ingest_snapshot"] == first.json["ingest_snapshot"]
    other = http.upload(CSV + "3,z,2024-01-03\n", "text/csv", key, name="once")
    assert (other.status, other.code) == (422, "idempotency_key_reused")


def test_a_key_that_is_too_long_is_refused(http):
    answer = http.upload(CSV, "text/csv", {"Idempotency-Key": "k" * 256}, name="x")
    assert answer.code == "invalid_idempotency_key"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"no boundary at all", "malformed_multipart"),
        (b"--xyz\r\nContent-Disposition: form-data; name=file\r\n\r\nnever ends", "malformed_multipart"),
        (b"--xyz\r\n\r\nx\r\n--xyz--\r\n", "malformed_multipart"),
        (b'--xyz\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--xyz--\r\n', "file_part_missing"),
        (
            b'--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * 20 + b"--xyz--\r\n",
            "malformed_multipart",
        ),
        (b"", "malformed_multipart"),
    ],
)
def test_a_malformed_multipart_body_is_refused(http, body, code):
    headers = {"Content-Type": "multipart/form-data; boundary=xyz"}
    answer = http("POST", "/v1/ingest", body, headers, name="x")
    assert (answer.status, answer.code) == (400, code)


def test_the_only_file_of_a_form_may_have_any_name(http):
    headers = {"Content-Type": "multipart/form-data; boundary=xyz"}
    part = b'--xyz\r\nContent-Disposition: form-data; name="%s"; filename="x.csv"\r\n\r\n' + CSV.encode() + b"\r\n"
    answer = http("POST", "/v1/ingest", part % b"data" + b"--xyz--\r\n", headers, name="any_part")
    assert answer.json["rows_ingested"] == 2
    answer = http("POST", "/v1/ingest", part % b"a" + part % b"b" + b"--xyz--\r\n", headers, name="any_part")
    assert answer.code == "file_part_missing"


def test_fields_of_the_form_may_say_what_the_address_does_not(http):
    body = (
        b'--xyz\r\nContent-Disposition: form-data; name="name"\r\n\r\nby_field\r\n'
        b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        + CSV.encode()
        + b"\r\n--xyz--"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=xyz"}
    assert http("POST", "/v1/ingest", body, headers).json["name"] == "by_field"


def test_a_file_may_hold_what_looks_like_a_boundary(http):
    content = "a,b\n--xy,1\n--xyz-,2\n"
    assert http.form("a,b\n" + "--xy,1\n" * 3, "a.csv", name="dashes").json["row_count"] == 3
    assert content.count("--xyz") == 1


@pytest.mark.parametrize(
    ("content", "content_type", "code"),
    [
        (b"PAR1garbage", "application/vnd.apache.parquet", "parquet_malformed"),
        (parquet_bytes(TABLE)[:-20], "application/vnd.apache.parquet", "parquet_malformed"),
        (b"ARROW1garbage", "application/vnd.apache.arrow.file", "arrow_malformed"),
        (stream_bytes(TABLE)[:100], "application/vnd.apache.arrow.stream", "arrow_malformed"),
        (b"", "application/vnd.apache.arrow.stream", "arrow_malformed"),
        (b"", "text/csv", "csv_empty"),
        (b"", "application/x-ndjson", "json_empty"),
        (gzip.compress(CSV.encode(), mtime=0)[:-9], "application/gzip", "malformed_compression"),
        (b"not gzip", "application/gzip", "malformed_compression"),
    ],
)
def test_a_broken_file_is_refused(http, content, content_type, code):
    answer = http.upload(
        content, content_type, None, name="broken", filename="x.csv" if "gzip" in content_type else "x"
    )
    assert (answer.status, answer.code) == (400, code)
    assert "/work" not in answer.body.decode()
    assert http("GET", "/v1/datasets/broken").status == 404


def test_ndjson_takes_new_fields_and_wider_numbers_as_they_come(http):
    lines = ['{"a": 1}'] * 40_000 + ['{"a": 1.5, "late": {"x": [1]}}', '{"late": null}']
    answer = http.upload("\n".join(lines), "application/x-ndjson", None, name="grows")
    assert answer.json["row_count"] == 40_002
    assert {field["name"]: field["type"] for field in answer.json["schema"]} == {
        "a": "double",
        "late": "struct<x: list<element: int64>>",
    }
    assert http.sql("SELECT count(a) AS n, sum(a) AS s, count(late) AS l FROM grows").json == [
        {"n": 40_001, "s": 40_001.5, "l": 1}
    ]


def test_texts_of_ndjson_stay_text_unless_the_dataset_says_otherwise(http):
    line = '{"moment": "2024-01-01T10:00:00", "n": null}\n'
    manifest = http.upload(line, "application/x-ndjson", None, name="json_texts").json
    assert [field["type"] for field in manifest["schema"]] == ["string", "string"]
    body = {"name": "json_typed", "schema": [{"name": "moment", "type": "timestamp"}, {"name": "n", "type": "int"}]}
    http("POST", "/v1/datasets", json.dumps(body), {"Content-Type": "application/json"})
    assert http.upload(line, "application/x-ndjson", None, name="json_typed").json["row_count"] == 1
    assert http.sql("SELECT year(moment) AS y, n FROM json_typed").json == [{"y": 2024, "n": None}]


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ('{"a": 1}\n\n{"a": \n', "json_malformed", 3),
        ('{"a": 1}\n{"a": "x"}\n', "json_malformed", 2),
        ("[1, 2]\n", "json_malformed", 1),
        ('{"a": 1}\n' * 200_000 + '{"a": "x"}\n', "json_malformed", 200_001),
    ],
)
def test_ndjson_that_is_none_is_refused(http, text, code, line):
    answer = http.upload(text, "application/x-ndjson", None, name="bad_json")
    assert (answer.status, answer.code, answer.json.get("line")) == (400, code, line)
    assert http("GET", "/v1/datasets/bad_json").status == 404


def test_a_gzip_bomb_is_stopped(http_with):
    http = http_with(max_decoded_bytes=50_000_000)
    bomb = gzip.compress(b"a,b\n" + b"1,2\n" * 30_000_000, 9)
    answer = http.upload(bomb, "text/csv", {"Content-Encoding": "gzip"}, name="bomb")
    assert (answer.status, answer.code) == (413, "decoded_body_too_large")
    assert http("GET", "/v1/datasets/bomb").status == 404


MEBIBYTE = 1 << 20


@pytest.fixture
def capped(http_with):
    return http_with(max_body_bytes=MEBIBYTE, linger_seconds=5)


def sending(http, size: int, **headers: str) -> Answer:
    """Send a body without looking at the answer first, as simple clients do; return the answer."""
    pieces = (b"x" * 65536 for _ in range(size // 65536))
    with closing(HTTPConnection(http.netloc, timeout=30)) as connection:
        connection.request("POST", "/v1/ingest?name=capped", pieces, {"Content-Type": "text/csv"} | headers)
        with connection.getresponse() as response:
            return Answer(response.status, response.headers, response.read())


def test_a_body_over_the_cap_is_refused_with_a_length_and_without(capped):
    for headers in ({"Content-Length": str(16 * MEBIBYTE)}, {"Transfer-Encoding": "chunked"}):
        answer = sending(capped, 16 * MEBIBYTE, **headers)
        assert (answer.status, answer.code) == (413, "body_too_large")
    assert capped("GET", "/v1/datasets/capped").status == 404


def test_a_client_that_waits_for_a_go_ahead_is_refused_before_it_sends(capped):
    with closing(HTTPConnection(capped.netloc, timeout=30)) as connection:
        connection.putrequest("POST", "/v1/ingest?name=capped")
        connection.putheader("Content-Length", str(1 << 40))
        connection.putheader("Expect", "100-continue")
        connection.endheaders()
        assert connection.getresponse().status == 413


def test_the_cap_is_on_the_file_and_not_on_the_form_around_it(capped):
    line = "1234567\n"
    content = "a,b\n" + "1,2\n" * (MEBIBYTE // 4 - 1)
    assert len(content) == MEBIBYTE
    assert capped.form(content, "a.csv", name="fits").json["row_count"] == MEBIBYTE // 4 - 1
    answer = capped.form(content + line, "a.csv", name="fits")
    assert (answer.status, answer.code) == (413, "body_too_large")
    assert capped.upload(content + line, name="fits").status == 413
    assert capped("GET", "/v1/datasets/fits").json["version"] == 1
