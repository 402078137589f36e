"""Statements that change data and transactions, through the stock ADBC driver."""

import contextlib
import threading

import adbc_driver_flightsql.dbapi as adbc
import adbc_driver_manager as manager
import pyarrow as pa
import pytest


@pytest.fixture
def server(serve):
    return serve()


@pytest.fixture
def connection(server):
    with adbc.connect(server.address, autocommit=True) as connected:
        yield connected


@pytest.fixture
def transactional(server):
    with adbc.connect(server.address) as connected:
        yield connected


def rows(connection, sql, parameters=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def change(connection, sql, parameters=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.rowcount


def test_ddl_and_dml_take_effect_without_a_fetch_and_count_their_rows(connection):
    assert change(connection, "CREATE TABLE t (n BIGINT NOT NULL, word VARCHAR)") == 0
    assert change(connection, "INSERT INTO t VALUES (1, 'one'), (2, 'two')") == 2
    assert change(connection, "INSERT INTO t (n) SELECT n + 10 FROM t") == 2
    assert rows(connection, "SELECT * FROM t ORDER BY n") == [(1, "one"), (2, "two"), (11, None), (12, None)]
    assert change(connection, "DELETE FROM t") == 4
    assert rows(connection, "SELECT count(*) FROM t") == [(0,)]
    assert change(connection, "DROP TABLE t") == 0
    assert change(connection, "DROP TABLE IF EXISTS t") == 0


def test_replacing_a_table_by_its_own_rows_loses_none_that_are_added_meanwhile(server, connection):
    change(connection, "CREATE TABLE t AS SELECT 0 AS n")

    def append():
        with adbc.connect(server.address, autocommit=True) as other:
            for n in range(1, 41):
                change(other, f"INSERT INTO t VALUES ({n})")

    appender = threading.Thread(target=append)
    appender.start()
    while appender.is_alive():
        with contextlib.suppress(manager.Error):  # a conflict, after several attempts
            change(connection, "CREATE OR REPLACE TABLE t AS FROM t")
    appender.join()

    assert rows(connection, "SELECT count(*), sum(n)::BIGINT FROM t") == [(41, 820)]


def test_a_null_in_a_not_null_column_is_refused_and_changes_nothing(connection):
    change(connection, "CREATE TABLE t (n BIGINT NOT NULL)")

    with pytest.raises(manager.ProgrammingError, match="null_in_not_null_column"):
        change(connection, "INSERT INTO t VALUES (1), (NULL)")
    assert rows(connection, "SELECT count(*) FROM t") == [(0,)]


def test_executemany_is_one_commit(connection):
    change(connection, "CREATE TABLE t (n BIGINT, word VARCHAR)")
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO t VALUES (?, ?)", [(n, str(n)) for n in range(1000)])
        assert cursor.rowcount == 1000

    assert rows(connection, "SELECT count(*), sum(n)::BIGINT, max(word) FROM t") == [(1000, 499500, "999")]


def test_schemas_hold_datasets(connection):
    change(connection, "CREATE SCHEMA staging")
    change(connection, "CREATE TABLE staging.t AS SELECT 1 AS n")

    assert rows(connection, "SELECT n FROM lake.staging.t") == [(1,)]
    with pytest.raises(manager.ProgrammingError, match="schema_not_empty"):
        change(connection, "DROP SCHEMA staging")
    change(connection, "DROP TABLE staging.t")
    change(connection, "DROP SCHEMA staging")
    with pytest.raises(manager.ProgrammingError, match="schema_not_found"):
        change(connection, "CREATE TABLE staging.t AS SELECT 1 AS n")


def test_use_sets_the_sessions_schema(connection):
    change(connection, "CREATE SCHEMA staging")
    change(connection, "USE staging")
    change(connection, "CREATE TABLE t AS SELECT 5 AS n")

    assert connection.adbc_current_db_schema == "staging"
    assert rows(connection, "SELECT n FROM lake.staging.t") == [(5,)]


def test_a_transaction_sees_its_own_writes_and_nobody_elses(server, transactional, connection):
    change(connection, "CREATE TABLE t AS SELECT 1 AS n")
    assert rows(transactional, "SELECT n FROM t") == [(1,)]
    change(connection, "INSERT INTO t VALUES (2)")
    change(transactional, "INSERT INTO t VALUES (3)")

    assert rows(transactional, "SELECT n FROM t ORDER BY n") == [(1,), (3,)]
    assert rows(connection, "SELECT n FROM t ORDER BY n") == [(1,), (2,)]
    transactional.commit()
    assert rows(connection, "SELECT n FROM t ORDER BY n") == [(1,), (2,), (3,)]


def test_a_transaction_reads_every_lake_at_one_moment_after_it_has_written(serve):
    server = serve("lake", "pond")
    with adbc.connect(server.address, autocommit=True) as other, adbc.connect(server.address) as transactional:
        change(other, "CREATE TABLE pond.main.t AS SELECT 1 AS n")
        change(transactional, "CREATE TABLE mine AS SELECT 1 AS n")
        assert rows(transactional, "SELECT count(*) FROM pond.main.t") == [(1,)]
        change(other, "INSERT INTO pond.main.t VALUES (2)")

        assert rows(transactional, "SELECT count(*) FROM pond.main.t") == [(1,)]


def test_the_schema_of_a_table_made_in_the_transaction_is_known(transactional):
    change(transactional, "CREATE TABLE mine AS SELECT 1 AS n")
    with transactional.cursor() as cursor:
        assert cursor.adbc_execute_schema("FROM mine").names == ["n"]


def test_a_begin_counts_although_a_driver_opened_a_transaction_too(server, transactional, connection):
    change(connection, "CREATE TABLE t (n BIGINT)")
    change(transactional, "BEGIN")
    change(transactional, "COMMIT")

    with pytest.raises(manager.ProgrammingError, match="no_transaction"):
        change(transactional, "COMMIT")


def test_a_rollback_leaves_nothing(transactional, connection):
    with transactional.cursor() as cursor:
        cursor.adbc_ingest("t", pa.table({"n": [1]}), mode="create")
    assert rows(transactional, "SELECT n FROM t") == [(1,)]
    transactional.rollback()

    with pytest.raises(manager.ProgrammingError, match="dataset_not_found"):
        rows(connection, "SELECT n FROM t")


@pytest.mark.parametrize(("values", "said"), [
    ("('abc', 'x')", r"conversion_error: column a: Could not convert string 'abc' to INT32"),
    ("(1, 'x'), (3000000000, 'y')", r"column a: Type INT64 with value 3000000000 can't be cast"),
])  # fmt: skip
def test_a_value_that_does_not_fit_is_refused_with_its_column(connection, values, said):
    change(connection, "CREATE TABLE t (a INTEGER, s VARCHAR)")
    with pytest.raises(manager.Error, match=said) as caught:
        change(connection, f"INSERT INTO t VALUES {values}")
    for ours in ("CAST(", "insert:", "c0", "LINE"):
        assert ours not in str(caught.value)


def test_the_columns_of_an_insert_may_be_named_in_any_order(connection):
    change(connection, 'CREATE TABLE t (a INTEGER, s VARCHAR, "c 1" INTEGER)')
    change(connection, "INSERT INTO t (\"c 1\", a) VALUES (1, '2')")
    assert rows(connection, "FROM t") == [(2, None, 1)]


@pytest.mark.parametrize(
    "sql", ["DROP TABLE workers500k", "INSERT INTO workers500k VALUES (1)", "DELETE FROM workers500k"]
)
def test_a_misspelt_table_is_guessed(connection, sql):
    change(connection, "CREATE TABLE workers_500k (n BIGINT)")
    meant = r"There is no dataset main\.workers500k\. Did you mean main\.workers_500k\?"
    with pytest.raises(manager.ProgrammingError, match=meant):
        change(connection, sql)


def test_a_conflicting_change_fails_the_commit(transactional, connection):
    change(connection, "CREATE TABLE t AS SELECT 1 AS n")
    change(transactional, "DELETE FROM t")
    change(connection, "INSERT INTO t VALUES (2)")

    with pytest.raises(manager.Error, match="commit_conflict"):
        transactional.commit()
    assert rows(connection, "SELECT n FROM t ORDER BY n") == [(1,), (2,)]


def test_transactions_can_be_written_as_sql(connection):
    change(connection, "CREATE TABLE t (n BIGINT)")
    change(connection, "BEGIN")
    change(connection, "INSERT INTO t VALUES (1)")
    change(connection, "ROLLBACK")
    assert rows(connection, "SELECT n FROM t") == []
    change(connection, "BEGIN")
    change(connection, "INSERT INTO t VALUES (1)")
    change(connection, "COMMIT")
    assert rows(connection, "SELECT n FROM t") == [(1,)]
    with pytest.raises(manager.ProgrammingError, match="no_transaction"):
        change(connection, "COMMIT")


@pytest.mark.parametrize(("mode", "first", "second"), [
    ("create", 3, None), ("append", None, 6), ("replace", 3, 3), ("create_append", 3, 6),
])  # fmt: skip
def test_bulk_ingest_knows_every_mode(connection, mode, first, second):
    table = pa.table({"n": [1, 2, 3]})
    for expected in (first, second):
        with connection.cursor() as cursor:
            if expected is None:
                with pytest.raises(manager.ProgrammingError, match=r"dataset_(already_exists|not_found)"):
                    cursor.adbc_ingest("t", table, mode=mode)
                cursor.adbc_ingest("t", table, mode="replace")
            else:
                assert cursor.adbc_ingest("t", table, mode=mode) == 3
                assert rows(connection, "SELECT count(*) FROM t") == [(expected,)]


def test_a_prepared_statement_outlives_the_server(serve, server):
    signing = {"signing_key": "shared between replicas"}
    first, second = serve(**signing), serve(**signing)
    with adbc.connect(first.address, autocommit=True) as one:
        statement = manager.AdbcStatement(one.adbc_connection)
        statement.set_sql_query("SELECT 1 AS n")
        statement.prepare()
        partitions, _, _ = statement.execute_partitions()
        statement.close()
    with adbc.connect(second.address, autocommit=True) as two, two.cursor() as cursor:
        cursor.adbc_read_partition(partitions[0])
        assert cursor.fetchall() == [(1,)]
