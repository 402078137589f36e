"""Batches are cut to the size of a message."""

import pyarrow as pa
import pytest

from catalog import LakehouseError
from flight_server.engine.stream import batch_rows, split

from .conftest import Querying

MESSAGE = 1 << 20


def test_slices_stay_below_the_limit_and_lose_no_row():
    words = ["x" * (number % 500) for number in range(20000)]
    batch = pa.record_batch({"n": range(20000), "word": words, "list": [[number] for number in range(20000)]})
    slices = list(split(batch, 100_000, 1_000_000))
    assert len(slices) > 10
    assert max(part.nbytes for part in slices) <= 100_000
    assert pa.Table.from_batches(slices).combine_chunks().to_batches()[0].equals(batch)


def test_one_large_row_is_a_message_of_its_own_up_to_a_limit():
    batch = pa.record_batch({"word": ["a", "x" * 5000, "b"]})
    assert [part.num_rows for part in split(batch, 1000, 10_000)] == [1, 1, 1]
    with pytest.raises(LakehouseError, match="row_too_large"):
        list(split(batch, 1000, 4000))


@pytest.mark.parametrize(
    ("schema", "rows"),
    [
        ({"n": pa.int64()}, 122_880),
        ({str(n): pa.float64() for n in range(64)}, 63_488),
        ({str(n): pa.float64() for n in range(2000)}, 2048),
        ({"nothing": pa.null()}, 122_880),
        ({"v": pa.list_(pa.float32(), 1000)}, 6144),
    ],
)
def test_rows_per_batch_follow_from_the_schema(schema, rows):
    assert batch_rows(pa.schema(schema), 2 * MESSAGE) == rows


def test_a_result_of_any_shape_arrives_in_small_messages(engines, lake):
    query = Querying(engines(message_bytes=MESSAGE), lake)
    for sql in (
        "SELECT x, repeat('y', 1000) AS y FROM range(20000) AS t(x)",
        "SELECT range(1000) AS y FROM range(2000) AS t(x)",
        "SELECT x, x::DOUBLE, x::VARCHAR FROM range(500000) AS t(x)",
    ):
        with query.engine.execute(sql, None, query.scope()) as stream:
            sizes = [batch.nbytes for batch in stream]
        assert max(sizes) <= MESSAGE
        assert sum(sizes) / len(sizes) > MESSAGE / 8


def test_a_row_that_no_client_could_take_is_an_error(query):
    with pytest.raises(LakehouseError, match="row_too_large"):
        query("SELECT repeat('x', 20000000)")
    assert query("SELECT length(repeat('x', 20000000)) AS l")["l"][0].as_py() == 20000000
