from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from lakehouse.sample_data import workers, write_workers_csv


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path):
    write_workers_csv(tmp_path / "a.csv", rows=3_000)
    write_workers_csv(tmp_path / "b.csv", rows=3_000)
    write_workers_csv(tmp_path / "c.csv", rows=3_000, seed=8)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert (tmp_path / "a.csv").read_bytes() != (tmp_path / "c.csv").read_bytes()


def test_the_file_has_the_promised_columns_and_rows(tmp_path: Path):
    write_workers_csv(tmp_path / "workers.csv", rows=2_500)
    table = pa_csv.read_csv(tmp_path / "workers.csv")
    assert table.column_names == ["id", "name", "role", "state", "salary", "hired_at", "active", "score", "badge"]
    assert table.num_rows == 2_500
    assert table.schema.field("hired_at").type == pa.date32()
    assert table["id"].to_pylist() == list(range(1, 2_501))


def test_only_the_first_thousand_badges_look_like_integers():
    badges = workers(1_500, 7)["badge"].to_pylist()
    assert all(badge.isdigit() for badge in badges[:1_000])
    assert not any(badge.isdigit() for badge in badges[1_000:])


def test_some_scores_are_missing_and_no_other_value_is():
    table = workers(2_000, 7)
    assert 50 <= table["score"].null_count <= 150
    assert sum(column.null_count for column in table.columns) == table["score"].null_count
