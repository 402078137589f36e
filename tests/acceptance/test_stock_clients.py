"""The clients that users have already work as they are: ADBC, pandas, polars, DuckDB's reader of Arrow."""

import adbc_driver_manager
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from clean_answers import refused

FRAME = pd.DataFrame({"day": [1, 2, 3], "warmth": [11.5, None, 13.0], "place": ["Oslo", None, "Lyon"]})
ROWS = pa.Table.from_pandas(FRAME, preserve_index=False)


@pytest.fixture
def connection(local):
    with local.adbc() as connected:
        yield connected


def rows(connection, sql: str, parameters=None) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def test_pandas_writes_and_reads(connection):
    for if_exists, count in (("fail", 3), ("append", 6), ("replace", 3)):
        assert FRAME.to_sql("pandas_days", connection, index=False, if_exists=if_exists) == 3
        assert rows(connection, "SELECT count(*) FROM pandas_days") == [(count,)]
    with pytest.raises(ValueError, match="already exists"):
        FRAME.to_sql("pandas_days", connection, index=False)
    found = pd.read_sql("SELECT * FROM pandas_days ORDER BY day", connection)
    assert pa.Table.from_pandas(found, preserve_index=False).to_pylist() == ROWS.to_pylist()


def test_polars_writes_and_reads(local, connection):
    frame = pl.from_arrow(ROWS)
    for mode, count in (("fail", 3), ("append", 6), ("replace", 3)):
        frame.write_database("polars_days", connection, engine="adbc", if_table_exists=mode)
        assert rows(connection, "SELECT count(*) FROM polars_days") == [(count,)]
    assert pl.read_database("SELECT * FROM polars_days ORDER BY day", connection).equals(frame)
    uri = local.flight.replace("grpc://", "flightsql://") + "?transport=tcp"
    assert pl.read_database_uri("SELECT * FROM polars_days ORDER BY day", uri, engine="adbc").equals(frame)


def test_adbc_ingests_in_every_mode(connection):
    def ingest(mode: str) -> int:
        with connection.cursor() as cursor:
            return cursor.adbc_ingest("adbc_days", ROWS, mode=mode)

    with refused("dataset_not_found"):
        ingest("append")
    for mode, count in (("create", 3), ("append", 6), ("create_append", 9), ("replace", 3), ("create_append", 6)):
        assert ingest(mode) == 3
        assert rows(connection, "SELECT count(*) FROM adbc_days") == [(count,)]
    with refused("dataset_already_exists"):
        ingest("create")
    with connection.cursor() as cursor:
        assert cursor.adbc_ingest("adbc_reader", ROWS.to_reader(max_chunksize=1), mode="create") == 3


def test_adbc_prepares_statements_and_runs_changes(connection):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE prepared_days (day BIGINT NOT NULL, place VARCHAR)")
        cursor.executemany("INSERT INTO prepared_days VALUES (?, ?)", [(1, "Oslo"), (2, None), (3, "Lyon")])
        assert cursor.rowcount == 3
    assert rows(connection, "SELECT place FROM prepared_days WHERE day >= ? ORDER BY day", (2,)) == [(None,), ("Lyon",)]
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM prepared_days")
        assert cursor.rowcount == 3
        cursor.execute("DROP TABLE prepared_days")
    with refused("dataset_not_found"):
        rows(connection, "FROM prepared_days")


def test_a_transaction_is_seen_by_others_when_it_is_committed(local, connection):
    with local.adbc(autocommit=False) as writing:
        with writing.cursor() as cursor:
            cursor.adbc_ingest("both_days", ROWS, mode="create")
            cursor.execute("INSERT INTO both_days SELECT * FROM both_days")
            cursor.execute("SELECT count(*) FROM both_days")
            assert cursor.fetchone() == (6,)
            with refused("dataset_not_found"):
                rows(connection, "FROM both_days")
        writing.commit()
        assert rows(connection, "SELECT count(*) FROM both_days") == [(6,)]
        writing.rollback()
    assert rows(connection, "SELECT count(*) FROM both_days") == [(6,)]


def test_adbc_tells_what_is_there(connection):
    with connection.cursor() as cursor:
        cursor.adbc_ingest("described_days", ROWS, mode="create")
    assert connection.adbc_get_table_schema("described_days").types == [pa.int64(), pa.float64(), pa.string()]
    assert connection.adbc_get_info()["driver_name"]
    assert "table" in {name.lower() for name in connection.adbc_get_table_types()}
    objects = connection.adbc_get_objects(table_name_filter="described_days").read_all().to_pylist()
    [lake] = [catalog for catalog in objects if catalog["catalog_name"] == "lake"]
    [table] = [table for schema in lake["catalog_db_schemas"] for table in schema["db_schema_tables"]]
    assert table["table_name"] == "described_days"
    assert [column["column_name"] for column in table["table_columns"]] == ["day", "warmth", "place"]
    with pytest.raises(adbc_driver_manager.Error):
        connection.adbc_get_table_schema("nowhere")
