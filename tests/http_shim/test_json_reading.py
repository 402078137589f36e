import io

import pyarrow as pa
import pytest

from http_shim.errors import HttpProblem
from http_shim.json_reading import NdjsonFile

BLOCK_BYTES = 32


def uploaded(text: str, declared: pa.Schema | None = None) -> pa.Table:
    file = NdjsonFile(lambda: io.BytesIO(text.encode()), block_bytes=BLOCK_BYTES)
    return file.upload(declared, lambda reader: reader.read_all())


def test_types_widen_from_block_to_block():
    text = '{"a": null}\n' * 5 + '{"a": 1}\n' * 5 + '{"a": 1.5}\n' * 5
    assert uploaded(text)["a"].to_pylist() == [None] * 5 + [1.0] * 5 + [1.5] * 5


def test_fields_that_come_late_are_null_before():
    text = '{"a": 1}\n' * 5 + '{"b": "x"}\n' * 5
    assert uploaded(text).to_pydict() == {"a": [1] * 5 + [None] * 5, "b": [None] * 5 + ["x"] * 5}


def test_types_that_do_not_go_together_are_refused_with_the_line_of_their_block():
    with pytest.raises(HttpProblem) as caught:
        uploaded('{"a": 11}\n' * 3 + '{"a": "x"}\n' * 5)
    assert (caught.value.code, caught.value.extra) == ("json_type_conflict", {"line": 4})


def test_a_dataset_gives_the_types():
    declared = pa.schema([pa.field("at", pa.timestamp("us", "UTC"), nullable=False), pa.field("n", pa.int16())])
    table = uploaded('{"at": "2024-01-01T10:00:00Z", "n": 1}\n', declared)
    assert table.schema.types == declared.types


def test_fields_that_the_dataset_does_not_have_are_sent_for_it_to_refuse():
    assert uploaded('{"n": 1, "more": 2}\n', pa.schema([("n", pa.int16())])).schema.names == ["n", "more"]


def test_a_line_that_is_too_long_is_refused():
    with pytest.raises(HttpProblem) as caught:
        uploaded('{"a": "' + "x" * 100 + '"}\n')
    assert caught.value.code == "json_line_too_long"


@pytest.mark.parametrize("text", ["", "\n\n", "{}\n"])
def test_a_file_without_fields_is_refused(text):
    with pytest.raises(HttpProblem) as caught:
        uploaded(text)
    assert caught.value.code == "json_empty"
