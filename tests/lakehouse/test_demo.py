import pyarrow as pa
import pytest

from lakehouse.demo import Question, Server, ask


@pytest.mark.parametrize(("rows", "said"), [(16, "first 4 of 16 rows"), (4, "✓ 4 rows"), (1, "✓ 1 row ")])
def test_the_demo_says_how_many_rows_it_leaves_out(rows: int, said: str, capsys: pytest.CaptureFixture[str]):
    question = Question("a client", "SELECT 1", lambda _server, _sql: pa.table({"a": range(rows)}))
    ask(Server("grpc://127.0.0.1:1", "http://127.0.0.1:1"), question)
    assert said in capsys.readouterr().out
