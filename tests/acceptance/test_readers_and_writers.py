"""Many at the same time: readers see whole ingests, writers lose nothing."""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.flight as fl
import pytest
from clean_answers import may_be_refused, refused
from flight_calls import act, put, query

CLIENT = Path(__file__).parents[1] / "support" / "upload_client.py"


@pytest.fixture(params=["local", pytest.param("on_minio", marks=pytest.mark.minio)])
def server(request):
    return request.getfixturevalue(request.param)


def test_rows_are_visible_when_the_upload_is_answered_and_not_before(server):
    """Enough rows for many data objects, which are on the store while nobody may see them."""
    batch = pa.record_batch({"n": pa.array(range(500_000), pa.int64())})
    with server.client() as client, server.client() as reader:
        put(client, "whole", pa.table({"n": pa.array([-1], pa.int64())}))
        writer, acknowledgement = client.do_put(fl.FlightDescriptor.for_path("whole"), batch.schema)
        with writer:
            for _ in range(40):
                writer.write_batch(batch)
            assert query(reader, "SELECT count(*) AS n FROM whole").to_pylist() == [{"n": 1}]
            assert server.http("GET", "/v1/datasets/whole").json["row_count"] == 1
            writer.done_writing()
            assert json.loads(acknowledgement.read().to_pybytes())["rows"] == 20_000_000
        assert query(reader, "SELECT count(*) AS n, max(n) AS m FROM whole").to_pylist() == [
            {"n": 20_000_001, "m": 499_999}
        ]


def test_a_new_dataset_is_there_with_all_its_rows_or_not_at_all(server):
    rows = pa.table({"n": pa.array(range(200_000), pa.int64())})
    stop = threading.Event()

    def read() -> set[object]:
        seen = set()
        while not stop.is_set():
            answer = server.http.sql("SELECT count(*) AS n FROM sudden")
            seen.add(answer.json[0]["n"] if answer.status == 200 else answer.code)
        return seen

    with ThreadPoolExecutor(2) as pool, server.client() as client:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for _ in range(3):
                put(client, "sudden", rows)
                act(client, "lakehouse.drop", dataset="sudden")
        finally:
            stop.set()
        for reader in readers:
            assert reader.result() <= {"dataset_not_found", 200_000}


def test_every_reader_sees_a_whole_number_of_ingests_and_never_goes_back(server):
    rows_per_ingest, ingests = 1_000, 25
    stop = threading.Event()

    def write() -> None:
        try:
            with server.client() as client:
                for number in range(1, ingests + 1):
                    put(client, "steps", pa.table({"ingest": [number] * rows_per_ingest}))
        finally:
            stop.set()

    def read_by_flight() -> list[int]:
        with server.client() as client:
            return [check_rows(query(client, "SELECT ingest, count(*) AS n FROM steps GROUP BY ALL").to_pylist())]

    def read_by_http() -> list[int]:
        return [check_rows(server.http.sql("SELECT ingest, count(*) AS n FROM steps GROUP BY ALL").json)]

    def check_rows(groups: list[dict]) -> int:
        assert all(group["n"] == rows_per_ingest for group in groups)
        assert sorted(group["ingest"] for group in groups) == list(range(len(groups)))
        return len(groups)

    def until_stopped(read) -> list[int]:
        seen = read()
        while not stop.is_set():
            seen += read()
        return seen + read()

    with server.client() as client:
        put(client, "steps", pa.table({"ingest": [0] * rows_per_ingest}))
    with ThreadPoolExecutor(3) as pool:
        writer = pool.submit(write)
        readers = [pool.submit(until_stopped, read) for read in (read_by_flight, read_by_http)]
        writer.result()
        for reader in readers:
            seen = reader.result()
            assert seen == sorted(seen)
            assert seen[-1] == ingests + 1


def test_one_query_reads_one_version_however_long_it_is_read(server):
    """A join of a dataset with itself, while it is overwritten again and again."""
    stop = threading.Event()

    def write() -> None:
        try:
            with server.client() as client:
                for number in range(15):
                    put(client, "twice", pa.table({"v": [number] * 100}), x_lakehouse_mode="overwrite")
        finally:
            stop.set()

    with server.client() as client:
        put(client, "twice", pa.table({"v": [-1] * 100}))
    with ThreadPoolExecutor(1) as pool, server.client() as client:
        writer = pool.submit(write)
        while not stop.is_set():
            rows = query(client, "SELECT DISTINCT v FROM twice UNION ALL SELECT DISTINCT v FROM twice")["v"].to_pylist()
            assert len(rows) == 2
            assert rows[0] == rows[1]
        writer.result()


def run_appenders(uri: str, dataset: str, processes: int, times: int) -> list[int]:
    """Let processes append at the same time; return the snapshots that they were told, sorted."""
    with ExitStack() as stack:
        workers = []
        for number in range(processes):
            work = {"work": "append", "uri": uri, "dataset": dataset, "worker": number, "times": times}
            command = [sys.executable, str(CLIENT), json.dumps(work)]
            worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.callback(worker.communicate)
            stack.callback(worker.kill)
            workers.append(worker)
        for worker in workers:
            assert worker.stdout.readline() == '"ready"\n'
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        return sorted(snapshot for worker in workers for snapshot in json.loads(worker.stdout.readline()))


@pytest.mark.minio
@pytest.mark.timeout(240)
def test_eight_processes_with_a_hundred_appends_each_make_exactly_800_versions_and_rows(on_minio):
    schema = [{"name": "worker", "type": "int64"}, {"name": "n", "type": "int64"}]
    body = json.dumps({"name": "contended", "schema": schema})
    before = on_minio.http("POST", "/v1/datasets", body, {"Content-Type": "application/json"}).json

    snapshots = run_appenders(on_minio.flight, "contended", 8, 100)

    after = on_minio.http("GET", "/v1/datasets/contended").json
    assert after["version"] - before["version"] == 800
    assert (after["row_count"], len(after["objects"])) == (800, 800)
    assert len(snapshots) == 800
    with on_minio.client() as client:
        rows = query(client, "SELECT worker, n FROM contended ORDER BY ALL").to_pylist()
        assert rows == [{"worker": worker, "n": n} for worker in range(8) for n in range(100)]
        history = act(client, "lakehouse.history", dataset="contended")["commits"]
    appends = [commit for commit in history if commit["rows_added"]]
    assert [commit["version"] for commit in appends] == list(range(after["version"], before["version"], -1))
    assert {commit["rows_added"] for commit in appends} == {1}


def test_appends_to_a_dataset_that_is_dropped_meanwhile_are_all_answered_cleanly(server):
    """Whoever loses is told so, and the dataset holds exactly the rows that were acknowledged since it was made."""
    rows = pa.table({"n": [1]})

    def append(_: int) -> int:
        command = {"dataset": "contested", "mode": "append"}
        answer = {"snapshot": 0}
        with server.client() as client, may_be_refused("dataset_not_found", "commit_conflict"):
            answer = put(client, command, rows)
        return answer["snapshot"]

    with server.client() as client:
        put(client, "contested", rows)
        with ThreadPoolExecutor(4) as pool:
            answers = pool.map(append, range(20))
            act(client, "lakehouse.drop", dataset="contested")
            made = put(client, "contested", rows)["snapshot"]
            acknowledged = sum(snapshot > made for snapshot in answers)
        assert query(client, "SELECT count(*) AS n FROM contested").to_pylist() == [{"n": 1 + acknowledged}]
        act(client, "lakehouse.drop", dataset="contested")
        with refused("dataset_not_found"):
            put(client, {"dataset": "contested", "mode": "append"}, rows)
