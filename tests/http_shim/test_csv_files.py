import io

import pyarrow as pa
import pytest

from http_shim.csv_reading import CsvFile
from http_shim.csv_upload import upload_declared, upload_inferred
from http_shim.errors import HttpProblem

SAMPLE_ROWS = 3


class Received:
    """Takes uploads as a client does: whole, or not at all."""

    def __init__(self):
        self.table = None
        self.abandoned_rows = 0

    def __call__(self, reader):
        batches = []
        try:
            batches.extend(reader)
        except BaseException:
            self.abandoned_rows += sum(batch.num_rows for batch in batches)
            raise
        self.table = pa.Table.from_batches(batches, reader.schema)
        return self.table.num_rows


def csv_file(text: str | bytes, **options) -> CsvFile:
    data = text.encode() if isinstance(text, str) else text
    settings = {"delimiter": ",", "block_bytes": 1 << 16, "max_columns": 100} | options
    return CsvFile(lambda: io.BytesIO(data), **settings)


def infer(text: str | bytes, **options):
    received = Received()
    _, columns = upload_inferred(csv_file(text, **options), SAMPLE_ROWS, received)
    return received.table, {column.name: (column.type.name, column.why) for column in columns}


def contradiction(column: str, line: int, value: str) -> str:
    return (
        f"its first {SAMPLE_ROWS} rows are bigint, but line {line} is {value!r}. Use TRY_CAST({column} AS BIGINT), "
        "or correct the file and ingest it again with mode=overwrite."
    )


def refused(text: str | bytes, **options) -> HttpProblem:
    with pytest.raises(HttpProblem) as caught:
        infer(text, **options)
    assert caught.value.status == 400
    return caught.value


@pytest.mark.parametrize(
    "values",
    [
        ["9223372036854775807", "9223372036854775808"],
        ["12345678901234567", "1.5"],
        ["1234567890123456.78"],
        ["1e400"],
        ["1e-400"],
        ["0.1000000000000000055511151231257827"],
    ],
)
def test_numbers_that_a_double_does_not_keep_are_text(values):
    table, columns = infer("x\n" + "\n".join(values) + "\n")

    assert table["x"].to_pylist() == values
    assert columns["x"][0] == "text"


def test_the_shortest_text_of_a_double_is_a_double():
    table, _ = infer("x\n0.30000000000000004\n1e-05\n")

    assert table["x"].to_pylist() == [0.30000000000000004, 1e-05]


@pytest.mark.parametrize(
    ("values", "name", "arrow_type"),
    [
        (["1", "-2", "0"], "bigint", pa.int64()),
        (["9223372036854775807", "-9223372036854775808"], "bigint", pa.int64()),
        (["1", "2.5"], "double", pa.float64()),
        (["1e5", "-0.5", "-0.0"], "double", pa.float64()),
        (["1.5", "nan", "inf"], "double", pa.float64()),
        (["true", "FALSE"], "boolean", pa.bool_()),
        (["2024-02-29"], "date", pa.date32()),
        (["2024-02-29 10:00", "2024-02-29T10:00:00.123456"], "timestamp", pa.timestamp("us")),
        (["2024-02-29T10:00:00Z", "2024-02-29 10:00:00+02:00"], "timestamp with time zone", pa.timestamp("us", "UTC")),
        (["a", "b"], "text", pa.string()),
    ],
)
def test_types_are_inferred_from_the_sample(values, name, arrow_type):
    table, columns = infer("c,d\n" + "".join(f"{value},x\n" for value in values))
    assert columns["c"] == (name, None)
    assert table.schema.field("c").type == arrow_type
    assert table.num_rows == len(values)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (["", ""], "it has no value in the first 2 rows"),
        (["1", "x"], "line 2 is bigint, but line 3 is 'x'"),
        (["x", "7"], "line 3 is bigint, but line 2 is 'x'"),
        (["2024-01-01", "2024-01-01 10:00"], "line 2 is date, but line 3 is '2024-01-01 10:00'"),
        (["true", "1"], "line 2 is boolean, but line 3 is '1'"),
        (["01234", "99999"], "line 3 is bigint, but line 2 is '01234'"),
        (["01234", "00007"], "line 2 is '01234': the zeros before a number, or its length, would be lost"),
        (["9223372036854775808000", "01"], None),
    ],
)
def test_an_ambiguous_column_is_text_and_says_why(values, why):
    table, columns = infer("c,d\n" + "".join(f"{value},x\n" for value in values))
    assert columns["c"][0] == "text"
    assert why is None or columns["c"][1] == why
    assert table["c"].to_pylist() == [value or None for value in values]


@pytest.mark.parametrize("value", ["nan", "inf", " 1", "1 ", "0x1F", "007", "-0", "+1", "1_000", "2024-13-01", "24:00"])
def test_text_that_says_more_than_a_number_stays_text(value):
    table, columns = infer(f"c,d\n{value},x\n")
    assert columns["c"][0] == "text"
    assert table["c"].to_pylist() == [value]


@pytest.mark.parametrize("later", ["x", "007", "1.5", '""', " 4"])
def test_a_value_after_the_sample_that_contradicts_it_makes_the_column_text(later):
    rows = ["1,1"] * SAMPLE_ROWS + [f"{later},2"] + ["3,x"]
    table, columns = infer("a,b\n" + "\n".join(rows) + "\n")
    assert columns["a"] == ("text", contradiction("a", 5, later.strip('"')))
    assert columns["b"] == ("text", contradiction("b", 6, "x"))
    assert table["a"].to_pylist() == ["1", "1", "1", later.strip('"'), "3"]


def test_a_contradiction_far_behind_the_first_block_restarts_the_upload_and_loses_no_row():
    rows = 30_000
    lines = [f"{n},{n},{n}" for n in range(rows)]
    lines[20_000] = "20000,x,20000"
    lines[29_000] = "29000,29000,y"
    received = Received()
    _, columns = upload_inferred(csv_file("a,b,c\n" + "\n".join(lines)), SAMPLE_ROWS, received)
    assert received.abandoned_rows > 0
    assert received.table.num_rows == rows
    assert [column.type.name for column in columns] == ["bigint", "text", "text"]
    assert [column.why for column in columns] == [
        None,
        contradiction("b", 20_002, "x"),
        contradiction("c", 29_002, "y"),
    ]
    assert received.table["b"][20_000].as_py() == "x"


def test_the_line_of_a_contradiction_counts_empty_lines_and_quoted_line_ends():
    _, columns = infer('"my a",b\n1,"x\ny"\n\n1,x\n1,x\n7x,x\n')
    assert columns["my a"] == ("text", contradiction('"my a"', 7, "7x"))


def test_a_row_that_is_not_found_again_has_the_line_of_its_number():
    assert csv_file('a,b\n1,"x\ny"\n2,z\n').lines_of_rows({1, 2, 9}) == {1: 2, 2: 4, 9: 10}


def test_a_header_alone_makes_a_dataset_of_texts_without_rows():
    for text in ("a,b\n", "a,b", "\ufeffa,b\r\n"):
        table, columns = infer(text)
        assert table.schema == pa.schema([("a", pa.string()), ("b", pa.string())])
        assert table.num_rows == 0
        assert columns["a"] == ("text", "the file has no rows")


@pytest.mark.parametrize("text", ["", "\n", "\ufeff", "\r\n\r\n"])
def test_an_empty_file_is_refused(text):
    assert refused(text).code == "csv_empty"


def test_a_byte_order_mark_and_windows_line_ends_are_not_data():
    table, _ = infer("\ufeffid,name\r\n1,x\r\n2,y\r\n")
    assert table.to_pydict() == {"id": [1, 2], "name": ["x", "y"]}


def test_the_last_line_needs_no_end():
    assert infer("a,b\n1,x\n2,y")[0].num_rows == 2


def test_quotes_may_hold_delimiters_line_ends_and_quotes():
    table, _ = infer('a,b\n1,"x,\r\ny"\n2,"say ""hi"""\n')
    assert table["b"].to_pylist() == ["x,\r\ny", 'say "hi"']


def test_an_empty_field_is_null_and_a_quoted_one_is_an_empty_text():
    table, _ = infer('a,b,c\n1,,x\n2,"",\n')
    assert table["b"].to_pylist() == [None, ""]
    assert table["c"].to_pylist() == ["x", None]


def test_empty_lines_are_skipped_but_are_nulls_in_a_file_of_one_column():
    assert infer("a,b\n\n1,x\n\n2,y\n\n")[0].num_rows == 2
    assert infer("a\n1\n\n2\n")[0]["a"].to_pylist() == [1, None, 2]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a,b\n1,x\n2\n", 3),
        ("a,b\n1,x\n2,y,z\n", 3),
        ('a,b\n1,"x\ny"\n\n2\n', 5),
        ("a,b\n" + "1,x\n" * 40_000 + "2\n", 40_002),
    ],
)
def test_a_ragged_row_is_refused_with_its_line(text, line):
    problem = refused(text)
    assert problem.code == "csv_ragged_row"
    assert problem.extra == {"line": line}


@pytest.mark.parametrize(("delimiter", "code"), [(";", "%3B"), ("\t", "%09"), ("|", "%7C")])
def test_a_header_with_another_delimiter_is_doubted(delimiter, code):
    doubt = f"the header has one column and holds {delimiter!r}: is that the delimiter? Say so with ?delimiter={code}."
    problem = refused(f"a{delimiter}b\n1{delimiter}2,5\n")
    assert problem.detail == f"line 2: a row has 2 values, but the header has 1 column; {doubt}"
    assert csv_file(f"a{delimiter}b\n1{delimiter}2\n").delimiter_doubt == doubt
    assert csv_file("a;x,b\n1,2\n").delimiter_doubt is None
    assert refused("a,b\n1\n").detail == "line 2: a row has 1 value, but the header has 2 columns"


def test_bytes_that_are_not_utf8_are_refused_with_their_line():
    problem = refused(b"a,b\n1,x\n2,\xff\n")
    assert (problem.code, problem.extra) == ("csv_not_utf8", {"line": 3})
    assert problem.detail.endswith("convert it, for example with: iconv -f WINDOWS-1252 -t UTF-8")
    assert refused(b"a,\xff\n1,x\n").code == "csv_not_utf8"
    assert refused("a,b\n1,x\n".encode("utf-16")).code == "csv_not_utf8"


def test_a_quote_that_is_never_closed_is_refused_with_its_line():
    problem = refused('a,b\n1,x\n2,"y\n3,z\n')
    assert (problem.code, problem.extra) == ("csv_unclosed_quote", {"line": 3})


def test_a_quote_inside_an_unquoted_value_is_a_character():
    assert infer('a,b\n1,5" pipe\n')[0]["b"].to_pylist() == ['5" pipe']


def test_a_row_longer_than_a_block_is_refused_with_its_line():
    problem = refused("a,b\n1,x\n2," + "y" * 300_000 + "\n")
    assert (problem.code, problem.extra) == ("csv_line_too_long", {"line": 3})


@pytest.mark.parametrize("header", ["a,a", "a,A", "a,b,a"])
def test_a_name_that_is_twice_in_the_header_is_refused(header):
    assert refused(header + "\n" + ",".join("1" * (header.count(",") + 1)) + "\n").code == "csv_duplicate_column"


def test_a_column_without_a_name_is_refused():
    assert refused("a,,b\n1,2,3\n").code == "csv_unnamed_column"


def test_too_many_columns_are_refused():
    assert refused(",".join("abcdef") + "\n", max_columns=5).code == "csv_too_many_columns"


def test_another_delimiter_may_be_named():
    assert infer("a;b\n1;x,y\n", delimiter=";")[0].to_pydict() == {"a": [1], "b": ["x,y"]}


DECLARED = pa.schema(
    [
        pa.field("id", pa.int32()),
        pa.field("amount", pa.decimal128(10, 2)),
        pa.field("at", pa.timestamp("us", "UTC")),
        pa.field("time", pa.time64("us")),
        pa.field("zip", pa.string()),
    ]
)


def declared(text: str, schema: pa.Schema = DECLARED) -> pa.Table:
    received = Received()
    upload_declared(csv_file(text), schema, received)
    return received.table


def test_a_dataset_gives_the_types_of_a_file_that_is_appended():
    table = declared("ZIP,id,amount,at,time\n01234, 7,1.5,2024-01-01T10:00:00Z,10:00:01.5\n,,,,\n")
    assert table.schema.names == ["ZIP", "id", "amount", "at", "time"]
    assert table.schema.types == [
        pa.string(),
        pa.int32(),
        pa.decimal128(10, 2),
        DECLARED.field("at").type,
        pa.time64("us"),
    ]
    assert table["ZIP"].to_pylist() == ["01234", None]
    assert table["id"].to_pylist() == [7, None]
    assert str(table["time"][0].as_py()) == "10:00:01.500000"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", "x"),
        ("id", "3000000000"),
        ("amount", "1.005"),
        ("at", "2024-01-01 10:00"),
        ("time", "25:00"),
        ("id", '""'),
    ],
)
def test_a_value_that_does_not_fit_the_dataset_is_refused_with_its_line(column, value):
    with pytest.raises(HttpProblem) as caught:
        declared(f'{column},zip\n,"a\nb"\n\n{value},x\n')
    assert caught.value.code == "csv_value_mismatch"
    assert caught.value.extra == {"line": 5, "column": column}


def test_a_type_that_csv_has_no_form_for_is_refused():
    with pytest.raises(HttpProblem) as caught:
        declared("l,x\n1,2\n", pa.schema([("l", pa.list_(pa.int64()))]))
    assert caught.value.code == "csv_type_unsupported"
