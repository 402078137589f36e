import gc
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from lakehouse import connect
from lakehouse.cli import main
from lakehouse.demo import Server, serving
from lakehouse.exits import ExitCode
from lakehouse.upload import dataset_name

QUERY = "SELECT * FROM trips ORDER BY id"
TRIPS = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "city": ["Oslo", None, 'a "b", c']})
Run = Callable[..., tuple[int, bytes, str]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("lake")) as server:
        with connect(server.flight) as client:
            client.ingest("trips", TRIPS)
        yield server


@pytest.fixture
def run(server: Server, capfdbinary: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command against the server; return its exit code, output and messages."""
    monkeypatch.setenv("LAKEHOUSE_FLIGHT_URI", server.flight)
    monkeypatch.setenv("LAKEHOUSE_HTTP_URL", server.http)

    def run(*arguments: object) -> tuple[int, bytes, str]:
        gc.collect()  # Arrow's writers that earlier tests dropped speak up when they are collected
        capfdbinary.readouterr()
        monkeypatch.setattr(sys, "argv", ["lakehouse", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        output, errors = capfdbinary.readouterr()
        return ended.value.code or 0, output, errors.decode()

    return run


def test_rows_are_csv_in_a_pipe(run: Run):
    code, output, _ = run("sql", QUERY)
    assert code == ExitCode.OK
    assert pa_csv.read_csv(io.BytesIO(output), convert_options=pa_csv.ConvertOptions(strings_can_be_null=True)) == TRIPS


def test_rows_come_as_json_ndjson_arrow_and_parquet(run: Run):
    assert json.loads(run("sql", QUERY, "--format", "json")[1]) == TRIPS.to_pylist()
    lines = run("sql", QUERY, "--format", "ndjson")[1].splitlines()
    assert [json.loads(line) for line in lines] == TRIPS.to_pylist()
    assert pa.ipc.open_stream(run("sql", QUERY, "--format", "arrow")[1]).read_all().equals(TRIPS)
    assert pq.read_table(io.BytesIO(run("sql", QUERY, "--format", "parquet")[1])).equals(TRIPS)


def test_no_rows_are_an_empty_array(run: Run):
    assert json.loads(run("sql", "SELECT * FROM trips WHERE false", "--format", "json")[1]) == []


def test_a_table_shows_nulls_and_brackets_as_they_are(run: Run):
    _, output, _ = run("sql", "SELECT NULL AS nothing, '[red]x' AS text", "--format", "table")
    assert "NULL" in output.decode()
    assert "[red]x" in output.decode()


def test_a_statement_can_come_from_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("SELECT 42 AS answer"))
    assert run("sql", "-")[1] == b'"answer"\n42\n'


def test_nested_columns_do_not_fit_into_csv(run: Run):
    code, _, errors = run("sql", "SELECT [1, 2] AS list", "--format", "csv")
    assert code == ExitCode.USAGE
    assert "Column list is nested, which CSV cannot carry" in errors


def test_what_the_server_refuses_ends_with_its_code_and_no_traceback(run: Run):
    code, output, errors = run("sql", "SELECT * FROM missing")
    assert code == ExitCode.ERROR
    assert errors.startswith("lakehouse: dataset_not_found: ")
    assert "Traceback" not in errors
    assert output == b""


@pytest.mark.parametrize(
    "arguments",
    [("sql", "SELECT 1", "--uri", "grpc://127.0.0.1:1"), ("ingest", __file__, "--url", "http://127.0.0.1:1")],
)
def test_a_server_that_does_not_answer_has_an_exit_code_of_its_own(run: Run, arguments: tuple[str, ...]):
    code, _, errors = run(*arguments)
    assert code == ExitCode.UNREACHABLE
    assert "Traceback" not in errors


@pytest.mark.parametrize("command", [("ls",), ("sql", "SELECT 1"), ("describe", "trips")])
def test_without_a_server_the_way_to_one_is_said(run: Run, command: tuple[str, ...]):
    _, output, errors = run(*command, "--uri", "grpc://127.0.0.1:1")
    advice = 'start one with "lakehouse serve", or name another with --uri.'
    assert (output, errors) == (b"", f"lakehouse: No server answers at grpc://127.0.0.1:1: {advice}\n")


def test_an_address_of_another_scheme_is_refused(run: Run):
    code, _, errors = run("ls", "--uri", "http://127.0.0.1:8815")
    assert code == ExitCode.USAGE
    expected = "http://127.0.0.1:8815: is not a Flight address, such as grpc://127.0.0.1:8815."
    assert errors == f"lakehouse: {expected}\n"


def test_a_file_is_ingested_under_the_name_it_suggests(run: Run, tmp_path: Path):
    file = tmp_path / "Some Cities.csv"
    file.write_text("city,people\nLyon,522000\nOslo,709000\n")
    code, output, errors = run("ingest", file)
    assert code == ExitCode.OK, errors
    manifest = json.loads(output)
    assert (manifest["name"], manifest["row_count"]) == ("some_cities", 2)
    described = json.loads(run("describe", "some_cities")[1])
    assert [column["name"] for column in described["schema"]] == ["city", "people"]


def test_a_column_that_became_text_is_named_with_the_reason(run: Run, tmp_path: Path):
    file = tmp_path / "badges.csv"
    file.write_text("badge\n" + "1\n" * 1_500 + "B-7\n")
    code, _, errors = run("ingest", file)
    assert code == ExitCode.OK
    assert errors.startswith("Column badge is text: ")


@pytest.fixture
def run_on_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command whose standard output claims to be a terminal."""

    def run_on_terminal(*arguments: object) -> tuple[int, bytes, str]:
        with (
            Terminal(open(1, "wb", buffering=0, closefd=False), write_through=True) as terminal,
            monkeypatch.context() as patch,
        ):
            patch.setattr(sys, "stdout", terminal)
            return run(*arguments)

    return run_on_terminal


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def test_a_change_is_told_in_words_on_a_terminal(run_on_terminal: Run):
    assert run_on_terminal("sql", "CREATE TABLE told (a INT)")[1] == b"Done.\n"
    assert run_on_terminal("sql", "/* two */ INSERT INTO told VALUES (1), (2)")[1] == b"2 rows changed.\n"
    assert b"Count" in run_on_terminal("sql", 'SELECT count(*) AS "Count" FROM told')[1]


def test_a_change_is_a_count_for_a_program(run: Run):
    assert run("sql", "CREATE TABLE counted AS SELECT 1 AS a")[1] == b'"Count"\n1\n'


def test_a_person_reads_first_what_was_added(run_on_terminal: Run, tmp_path: Path):
    file = tmp_path / "added.csv"
    file.write_text("a\n1\n2\n")
    first, second = (run_on_terminal("ingest", file, "--key", "k")[1].decode().splitlines()[0] for _ in range(2))
    assert first == "Added 2 rows to lake.main.added, version 1."
    assert second == "Nothing added: this key was ingested before."


@pytest.mark.parametrize("text", ["", " \n"])
def test_no_statement_is_said(run: Run, text: str):
    assert run("sql", text) == (ExitCode.USAGE, b"", "lakehouse: There is no statement to run.\n")


def test_an_unknown_format_is_answered_with_the_known_ones(run: Run):
    code, _, errors = run("sql", "SELECT 1", "--format", "xml")
    assert code == ExitCode.USAGE
    known = "table, csv, json, ndjson, arrow, parquet"
    assert errors == f"lakehouse: --format xml: is not a format; they are {known}.\n"


def test_help_has_an_example(run: Run):
    for command in ("serve", "ingest", "sql", "ls", "describe", "check-store", "sample-data"):
        text = run(command, "--help")[1].decode()
        assert f"Example: lakehouse {command}" in text


def test_a_repeated_ingest_with_the_same_key_adds_its_rows_once(run: Run, tmp_path: Path):
    file = tmp_path / "once.csv"
    file.write_text("a\n1\n")
    for _ in range(2):
        code, output, errors = run("ingest", file, "--key", "only-once")
        assert code == ExitCode.OK, errors
    assert json.loads(output)["row_count"] == 1
    assert json.loads(run("describe", "once")[1])["row_count"] == 1


def test_ingest_can_replace_the_rows(run: Run, tmp_path: Path):
    file = tmp_path / "replaced.csv"
    for rows in (3, 1):
        file.write_text("a\n" + "1\n" * rows)
        code, _, errors = run("ingest", file, "--mode", "overwrite")
        assert code == ExitCode.OK, errors
    assert json.loads(run("describe", "replaced")[1])["row_count"] == 1


def test_format_and_delimiter_can_be_given(run: Run, tmp_path: Path):
    file = tmp_path / "odd.txt"
    for delimiter, flag in ((";", ";"), ("\t", r"\t")):
        file.write_text(f"a{delimiter}b\n1{delimiter}2\n")
        code, output, errors = run("ingest", file, "--format", "csv", "--delimiter", flag)
        assert code == ExitCode.OK, errors
    manifest = json.loads(output)
    assert [column["name"] for column in manifest["schema"]] == ["a", "b"]
    assert manifest["row_count"] == 2


def test_a_file_of_unknown_format_leads_to_the_flag(run: Run, tmp_path: Path):
    file = tmp_path / "odd.txt"
    file.write_text("a;b\n1;2\n")
    assert run("ingest", file)[2].endswith("; here it is given by --format\n")
    assert run("ingest", file, "--format", "xml")[2].endswith("; here it is given by --format\n")
    assert run("ingest", file, "--format", "csv", "--delimiter", ";;")[2].endswith("given by --delimiter\n")


def test_rows_can_come_from_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"a": 1}\n{"a": 2}\n')))
    code, output, errors = run("ingest", "-", "--name", "piped", "--format", "ndjson")
    assert code == ExitCode.OK, errors
    assert json.loads(output)["row_count"] == 2


def test_standard_input_needs_a_name_and_a_format(run: Run):
    code, _, errors = run("ingest", "-", "--name", "piped")
    assert code == ExitCode.USAGE
    assert errors.endswith("give --name and --format.\n")


def test_a_file_that_is_not_there_is_said_in_one_sentence(run: Run):
    code, _, errors = run("ingest", "missing.csv")
    assert code == ExitCode.USAGE
    assert errors == "lakehouse: missing.csv: cannot be read: No such file or directory.\n"


def test_the_list_is_one_json_object_a_line(run: Run):
    listed = {line["name"]: line for line in map(json.loads, run("ls")[1].splitlines())}
    assert listed["trips"]["row_count"] == 3


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("workers_500k.csv", "workers_500k"),
        ("Q3 Sales (final).csv.gz", "q3_sales_final"),
        ("2024-trips.parquet", "_2024_trips"),
        ("ñ.csv", "dataset"),
    ],
)
def test_a_file_name_suggests_a_dataset_name(file: str, name: str):
    assert dataset_name(Path(file)) == name
