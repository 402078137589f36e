"""Plans, streams, scopes, failures and ends of queries."""

import threading
import time

import pyarrow as pa
import pytest

from catalog import ErrorKind, LakehouseError, ObjectNotFoundError, StoreUnavailableError
from flight_server import DuckDBEngine, EngineSettings
from flight_server.engine import Scope

from .conftest import Querying, SmallLake

FOREVER = "SELECT max(hash(x)) FROM range(1000000000000) AS t(x)"


def failing(call, *arguments, **keywords) -> LakehouseError:
    with pytest.raises(LakehouseError) as caught:
        call(*arguments, **keywords)
    return caught.value


def test_names_resolve_as_in_duckdb_whatever_their_case(query, lake):
    lake.put("other", pa.table({"x": [1]}), schema="side")
    for name in ("numbers", "NUMBERS", '"Numbers"', "main.numbers", "lake.main.numbers", "LAKE.Main.Numbers"):
        assert query.rows(f"SELECT count(*) FROM {name}") == [(10,)]
    assert query.rows("SELECT * FROM side.other") == [(1,)]
    assert query.rows("SELECT * FROM other", schema="side") == [(1,)]
    assert failing(query, "SELECT * FROM other").code == "dataset_not_found"


def test_several_lakes_are_several_catalogs(query, lake, engine):
    second = SmallLake("archive")
    second.put("numbers", pa.table({"n": pa.array([100], pa.int64())}))
    both = Querying(engine, lake, second)
    sql = "SELECT max(a.n), max(b.n) FROM lake.main.numbers AS a, archive.main.numbers AS b"
    assert both.rows(sql) == [(9, 100)]
    assert both.rows("SELECT n FROM numbers", catalog="archive") == [(100,)]
    assert both.rows("SELECT n FROM archive.numbers") == [(100,)]
    assert failing(query, "SELECT n FROM archive.main.numbers").code == "dataset_not_found"
    assert failing(query, "SELECT 1", catalog="archive").code == "lake_not_found"


def test_a_scope_sees_only_its_own_datasets_in_every_listing(query, lake, engine):
    lake.put("extra", pa.table({"x": [1]}), schema="side")
    assert query.rows("SELECT table_schema, table_name, table_type FROM information_schema.tables ORDER BY ALL") == [
        ("main", "numbers", "BASE TABLE"),
        ("side", "extra", "BASE TABLE"),
    ]
    empty = SmallLake("lake")
    nothing = Querying(engine, empty)
    for sql in ("FROM information_schema.tables", "SHOW ALL TABLES", "SHOW TABLES", "FROM duckdb_tables()"):
        assert nothing(sql).num_rows == 0, sql
    assert nothing.rows("SELECT count(*) FROM information_schema.columns WHERE table_catalog = 'lake'") == [(0,)]
    schemas = "SELECT schema_name FROM information_schema.schemata WHERE catalog_name = 'lake'"
    assert nothing.rows(schemas) == [("main",)]
    assert "numbers" not in failing(nothing, "SELECT * FROM number").message


def test_the_information_schema_knows_types_and_nullability(query, lake):
    schema = pa.schema([pa.field("id", pa.int32(), nullable=False), pa.field("tags", pa.list_(pa.string()))])
    lake.put("typed", pa.table({"id": pa.array([1], pa.int32()), "tags": [["a"]]}, schema))
    sql = "SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name = 'typed'"
    assert query.rows(sql) == [("id", "INTEGER", "NO"), ("tags", "VARCHAR[]", "YES")]
    assert query.rows("SHOW TABLES") == [("numbers",), ("typed",)]
    assert query.rows("SHOW DATABASES") == [("lake",)]
    mixed = "SELECT count(*) FROM numbers, information_schema.tables WHERE table_name = 'typed'"
    assert query.rows(mixed) == [(10,)]


def test_a_listing_follows_every_change(query, lake):
    names = "SELECT name FROM (SHOW TABLES) ORDER BY ALL"
    assert query.rows(names) == [("numbers",)]
    lake.put("more", pa.table({"x": [1]}))
    assert query.rows(names) == [("more",), ("numbers",)]
    lake.drop("numbers")
    assert query.rows(names) == [("more",)]


def test_a_query_reads_the_version_of_its_scope(query, lake):
    old = query.scope()
    assert query.rows("SELECT count(*) FROM numbers") == [(10,)]
    lake.put("numbers", pa.table({"n": pa.array([1, 2], pa.int64()), "word": ["a", "b"]}))
    assert query.rows("SELECT count(*) FROM numbers") == [(2,)]
    with query.engine.execute("SELECT count(*) FROM numbers", None, old) as stream:
        assert next(stream)[0][0].as_py() == 10


def test_a_plan_is_remembered_until_the_schema_changes(query, lake):
    scope = query.scope()
    first = query.engine.plan("SELECT * FROM numbers", None, scope)
    query.lakes[0].reader.failure = StoreUnavailableError("down")
    assert query.engine.plan("SELECT * FROM numbers", None, scope).schema == first.schema
    query.lakes[0].reader.failure = None
    lake.put("numbers", pa.table({"n": ["text"]}))
    assert query.engine.plan("SELECT * FROM numbers", None, query.scope()).schema.names == ["n"]


def test_planning_does_not_run_the_query(query):
    began = time.monotonic()
    plan = query.engine.plan(FOREVER, None, query.scope())
    assert plan.schema.types == [pa.uint64()]
    assert time.monotonic() - began < 5


def test_a_dataset_without_rows_is_a_table_without_rows(query, lake):
    schema = pa.schema([("i", pa.int16()), ("span", pa.month_day_nano_interval()), ("pair", pa.list_(pa.int8(), 2))])
    lake.put("empty", schema.empty_table())
    table = query("SELECT * FROM empty")
    assert table.num_rows == 0
    assert table.schema.types[:2] == schema.types[:2]
    assert query.rows("SELECT count(*) FROM empty") == [(0,)]


def test_a_statement_that_writes_is_not_a_query(query):
    for sql in ("DROP TABLE numbers", "INSERT INTO numbers SELECT * FROM numbers", "BEGIN", "USE lake"):
        assert failing(query.engine.plan, sql, None, query.scope()).code == "not_a_query"
        assert failing(query.engine.execute, sql, None, query.scope()).code == "not_a_query"


def test_duplicate_column_names_are_the_same_in_plan_and_stream(query):
    table = query("SELECT 1 AS a, 2 AS a, sum(n) AS a FROM numbers")
    assert table.schema.names == ["a", "a", "a"]
    assert [column[0].as_py() for column in table.columns] == [1, 2, 45]


ERRORS = {
    "SELECT nope FROM numbers": (ErrorKind.INVALID_ARGUMENT, "binder_error"),
    "SELECT nosuch(1)": (ErrorKind.INVALID_ARGUMENT, "binder_error"),
    "SELECT CAST(word AS INTEGER) FROM numbers": (ErrorKind.INVALID_ARGUMENT, "conversion_error"),
    "SELECT 9223372036854775807 + n FROM numbers": (ErrorKind.INVALID_ARGUMENT, "value_out_of_range"),
    "SELECT error('no') FROM numbers": (ErrorKind.INVALID_ARGUMENT, "invalid_input"),
    "SELECT 1 +": (ErrorKind.INVALID_ARGUMENT, "syntax_error"),
    "FROM number": (ErrorKind.NOT_FOUND, "dataset_not_found"),
}


@pytest.mark.parametrize("sql", ERRORS)
def test_an_error_of_the_query_is_the_callers(query, sql):
    error = failing(query, sql)
    assert (error.kind, error.code) == ERRORS[sql]
    assert query.rows("SELECT 1") == [(1,)]


def test_an_error_points_at_the_users_own_line(query):
    error = failing(query, "SELECT 'a'::ENUM('a'),\n  CAST(word AS INTEGER) FROM numbers")
    assert "LINE 2:   CAST(word AS INTEGER) FROM numbers" in error.message
    caret = error.message.splitlines()[-1]
    assert caret.index("^") == error.message.splitlines()[-2].index("CAST")


def test_no_error_names_a_path_an_object_or_a_frame(query):
    sql = "SELECT error('at /usr/lib/python3/x.py and lake://1/000000000.parquet')"
    message = failing(query, sql).message
    assert "/usr" not in message
    assert "lake://" not in message
    assert failing(query, "SELECT error('Traceback (most recent call last)')").code == "engine_failed"


def test_a_long_list_of_candidate_functions_is_left_out(query):
    message = failing(query, "SELECT 'a' + [n] FROM numbers").message
    assert "You might need to add explicit type casts." in message
    assert "Candidate" not in message
    assert "Candidate" in failing(query, "SELECT substring(1)").message


def test_a_number_that_is_too_large_to_leave_names_its_column(query):
    message = failing(query, "SELECT 1 AS n, 170141183460469231731687303715884105727::HUGEINT AS big").message
    assert message.startswith("column big: ")
    assert "c1" not in message


def test_a_misspelt_dataset_is_guessed(query):
    assert failing(query, "FROM nubmers").message == "There is no dataset nubmers. Did you mean main.numbers?"
    assert failing(query, "FROM lake.nubmers").message.endswith(" Did you mean lake.main.numbers?")
    assert failing(query, "FROM side.numbers").message.endswith(" Did you mean main.numbers?")
    assert failing(query, "FROM letters").message == "There is no dataset letters."


@pytest.mark.parametrize(
    ("failure", "kind", "code"),
    [
        (ObjectNotFoundError("gone"), ErrorKind.NOT_FOUND, "snapshot_expired"),
        (StoreUnavailableError("secret endpoint"), ErrorKind.UNAVAILABLE, "store_unavailable"),
        (RuntimeError("secret"), ErrorKind.INTERNAL, "read_failed"),
    ],
)
def test_a_failure_of_the_store_is_told_as_such_and_the_engine_recovers(query, failure, kind, code):
    query.lakes[0].reader.failure = failure
    error = failing(query, "SELECT max(n) FROM numbers")
    assert (error.kind, error.code) == (kind, code)
    assert "secret" not in error.message
    query.lakes[0].reader.failure = None
    assert query.rows("SELECT max(n) FROM numbers") == [(9,)]


def test_cancel_stops_a_running_query(query):
    stream = query.engine.execute(FOREVER, None, query.scope())
    timer = threading.Timer(0.2, stream.cancel)
    timer.start()
    error = failing(next, stream)
    timer.join()
    assert (error.kind, error.code) == (ErrorKind.CANCELLED, "cancelled")
    assert failing(next, stream).code == "cancelled"
    stream.close()
    assert query.rows("SELECT 1") == [(1,)]


def test_cancel_before_the_first_batch_or_after_the_last_is_harmless(query):
    stream = query.engine.execute("SELECT 1", None, query.scope())
    stream.cancel()
    assert failing(next, stream).code == "cancelled"
    with query.engine.execute("SELECT 1", None, query.scope()) as done:
        assert len(list(done)) == 1
        done.cancel()
        assert list(done) == []


def test_close_from_another_thread_ends_a_running_query(query):
    stream = query.engine.execute(FOREVER, None, query.scope())
    timer = threading.Timer(0.2, stream.close)
    timer.start()
    assert failing(next, stream).code == "cancelled"
    timer.join()
    assert query.rows("SELECT 1") == [(1,)]


def test_a_half_read_stream_can_be_closed_and_gives_its_instance_back(engines, lake):
    lake.put("numbers", pa.table({"n": range(10)}))
    one = Querying(engines(max_concurrent_statements=1, queue_seconds=0), lake)
    for _ in range(3):
        stream = one.engine.execute("SELECT * FROM range(10000000)", None, one.scope())
        next(stream)
        assert failing(one, "SELECT 1").code == "server_busy"
        stream.close()
        stream.close()
        assert one.rows("SELECT 1") == [(1,)]


def test_a_statement_stops_after_its_time(query):
    began = time.monotonic()
    with query.engine.execute(FOREVER, None, query.scope(), timeout_seconds=0.3) as stream:
        error = failing(next, stream)
    assert (error.kind, error.code) == (ErrorKind.TIMEOUT, "statement_timeout")
    assert time.monotonic() - began < 5
    assert query.rows("SELECT 1") == [(1,)]


def test_a_result_that_nobody_reads_gives_its_instance_back(engines, lake):
    one = Querying(engines(max_concurrent_statements=1, stall_seconds=0.2), lake)
    stream = one.engine.execute("SELECT * FROM range(10000000)", None, one.scope())
    next(stream)
    assert one.rows("SELECT 1") == [(1,)]  # waits for its turn
    assert failing(next, stream).code == "stream_stalled"


def test_an_interrupt_that_duckdb_forgets_is_repeated(query):
    with query.engine.execute(FOREVER, None, query.scope()) as stream:
        interrupt, forgotten = stream._instance.interrupt, []

        def forgetful() -> None:
            if forgotten:
                interrupt()
            forgotten.append(True)

        stream._instance.interrupt = forgetful
        threading.Timer(0.2, stream.cancel).start()
        assert failing(next, stream).code == "cancelled"
    assert len(forgotten) >= 2


def test_a_reader_that_pauses_gives_way_to_a_statement_that_waits(engines, lake):
    query = Querying(engines(max_concurrent_statements=1, crowded_stall_seconds=0.2), lake)
    stream = query.engine.execute("SELECT range AS n FROM range(10_000_000)", None, query.scope())
    next(stream)

    assert query.rows("SELECT 1") == [(1,)]
    assert failing(next, stream).code == "stream_stalled"


def test_a_slow_reader_does_not_use_up_the_statements_time(query):
    with query.engine.execute("SELECT * FROM range(1000000)", None, query.scope(), timeout_seconds=0.4) as stream:
        rows = 0
        for batch in stream:
            rows += batch.num_rows
            threading.Event().wait(0.1)
    assert rows == 1_000_000


def test_statements_wait_for_their_turn_and_too_many_are_turned_away(engines, lake):
    settings = {"max_concurrent_statements": 1, "max_queued_statements": 1, "queue_seconds": 20}
    one = Querying(engines(**settings), lake)
    running = one.engine.execute("SELECT * FROM range(10000000)", None, one.scope())
    next(running)
    answers: list[object] = []
    waiting = threading.Thread(target=lambda: answers.append(one.rows("SELECT 1")))
    waiting.start()
    while one.engine._running._waiting == 0:
        pass
    error = failing(one, "SELECT 1")
    assert (error.kind, error.code) == (ErrorKind.RESOURCE_EXHAUSTED, "server_busy")
    running.close()
    waiting.join()
    assert answers == [[(1,)]]


def test_many_threads_share_the_engine(query):
    results: list[object] = []

    def work(number: int) -> None:
        for _ in range(5):
            results.append(query.rows("SELECT count(*), min(n) FROM numbers WHERE n >= ?", number))  # noqa: PERF401

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted([[(10 - number, number)] for number in range(8)] * 5)


def test_a_query_that_needs_more_memory_than_it_may_have_spills_or_says_so(engines, lake):
    small = Querying(engines(memory_bytes=64 << 20, max_concurrent_statements=1, spill_bytes=1 << 20), lake)
    error = failing(small, "SELECT list(x || repeat('y', 1000)) FROM range(1000000) AS t(x)")
    assert (error.kind, error.code) == (ErrorKind.RESOURCE_EXHAUSTED, "out_of_memory")
    assert small.rows("SELECT 1") == [(1,)]


def test_nothing_that_a_statement_does_is_seen_by_the_next(query):
    query("SELECT setting FROM (SELECT 1 AS setting)")
    assert query.rows("SELECT current_schema()", schema="side") == [("side",)]
    assert query.rows("SELECT current_schema()") == [("main",)]


def test_a_closed_engine_says_that_it_stops(lake):
    engine = DuckDBEngine(EngineSettings())
    running = engine.execute("SELECT * FROM range(10000000)", None, Querying(engine, lake).scope())
    next(running)
    engine.close()
    engine.close()
    assert failing(next, running).code == "cancelled"
    assert failing(engine.execute, "SELECT 1", None, Querying(engine, lake).scope()).code == "server_stopping"


def test_the_engine_describes_its_dialect(engine):
    info = engine.info()
    assert info.name == "DuckDB"
    assert "SELECT" in info.keywords
    assert "sqrt" in info.numeric_functions
    assert "lower" in info.string_functions
    assert "date_trunc" in info.datetime_functions or "year" in info.datetime_functions
    assert "read_text" not in {*info.string_functions, *info.system_functions}


def test_a_scope_is_read_only_where_a_query_needs_it():
    """A lake whose snapshot costs a request is not asked by a query that does not name it."""

    class Lazy(dict):
        def __getitem__(self, name):
            raise AssertionError(name)

    engine = DuckDBEngine(EngineSettings())
    with engine.execute("SELECT 1", None, Scope(Lazy(lake=None), {}, "lake", "main")) as stream:
        assert next(stream).num_rows == 1
    engine.close()


def test_an_error_of_the_caller_does_not_cost_an_instance(query):
    query("SELECT 1")
    idle = list(query.engine._pool._idle)
    for sql in ("SELECT nope FROM numbers", "SELECT CAST(word AS INTEGER) FROM numbers"):
        failing(query, sql)
        with pytest.raises(LakehouseError), query.engine.execute(sql, None, query.scope()) as stream:
            list(stream)
    assert query.engine._pool._idle == idle
