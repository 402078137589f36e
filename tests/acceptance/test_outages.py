"""The store goes away and comes back, or is full: clean errors in time, old snapshots intact, service resumes by itself."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.flight as fl
import pytest
from clean_answers import refused
from flight_calls import put, query

RECOVERY_SECONDS = 30
TIME_LIMIT_SECONDS = 15
"""`store.attempts` times `store.connect_timeout_seconds`, and some pauses."""
QUICK = "[store]\nconnect_timeout_seconds = 1\nread_timeout_seconds = 1\n[commit]\ndeadline_seconds = 5\n"
ROWS = pa.table({"n": [1, 2, 3]})


def within(seconds: float, call: Callable[[], Any]) -> Any:
    began = time.monotonic()
    result = call()
    assert time.monotonic() - began < seconds
    return result


def check_unavailable(server, seconds: float) -> None:
    """Every way in says so, in time, and nothing hangs."""
    answer = within(seconds, lambda: server.http.sql("SELECT count(*) AS n FROM trips"))
    assert (answer.status, answer.code) == (503, "store_unavailable")
    assert answer.headers["Retry-After"]
    answer = within(seconds, lambda: server.http("GET", "/v1/datasets"))
    assert (answer.status, answer.code) == (503, "store_unavailable")
    answer = within(2 * seconds, lambda: server.http.upload("n\n4\n", name="trips"))
    assert answer.status == 503
    assert answer.code in {"store_unavailable", "commit_outcome_unknown"}
    check_unavailable_by_flight(server, seconds)
    check_health(server, seconds)


def check_unavailable_by_flight(server, seconds: float) -> None:
    with server.client() as client:
        for call in (
            lambda: client.get_flight_info(fl.FlightDescriptor.for_command(b"FROM trips")),
            lambda: put(client, "trips", ROWS),
            lambda: list(client.list_flights()),
        ):
            began = time.monotonic()
            with refused("store_unavailable", "commit_outcome_unknown") as refusal:
                call()
            assert "Unavailable" in refusal.text or "UNAVAILABLE" in refusal.text
            assert time.monotonic() - began < 2 * seconds


def check_health(server, seconds: float) -> None:
    for path in ("/health", "/readyz"):
        answer = within(seconds, lambda path=path: server.http("GET", path))
        assert answer.status == 503
        assert answer.json["status"] == "unavailable"
        assert "lake" in answer.json["lakes"]
        assert "store_unavailable" in answer.json["reason"]
    assert server.http("GET", "/healthz").status == 200


def wait_until_healthy(server) -> None:
    deadline = time.monotonic() + RECOVERY_SECONDS
    while server.http("GET", "/health").status != 200:
        assert time.monotonic() < deadline, "the server did not come back"


def check_resumed(server, before: int) -> None:
    wait_until_healthy(server)
    count = server.http.sql("SELECT count(*) AS n FROM trips").json[0]["n"]
    assert count == before  # nothing that was answered with an error has landed; none of it could reach the store
    with server.client() as client:
        put(client, "trips", ROWS)
        assert query(client, "SELECT count(*) AS n FROM trips").to_pylist() == [{"n": before + 3}]
    assert server.http.upload("n\n4\n", name="trips").status == 200


@pytest.mark.minio
def test_a_store_that_is_stopped_is_unavailable_until_it_is_back(own_minio, start):
    minio, place = own_minio
    server = start(place)
    with server.client() as client:
        put(client, "trips", ROWS)
    assert server.http("GET", "/health").json["status"] == "ok"

    minio.stop()
    check_unavailable(server, TIME_LIMIT_SECONDS)

    minio.start()
    check_resumed(server, 3)


@pytest.mark.minio
def test_a_store_that_does_not_answer_is_unavailable_until_it_does(own_minio, start):
    """It accepts connections and says nothing, as behind a network that drops packets."""
    minio, place = own_minio
    server = start(place, QUICK)
    with server.client() as client:
        put(client, "trips", ROWS)
        info = client.get_flight_info(fl.FlightDescriptor.for_command(b"FROM trips"))

    shell = minio._process.pid
    children = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
    pids = [int(pid) for pid in children if b"minio" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        answer = within(10, lambda: server.http.sql("SELECT count(*) AS n FROM trips"))
        assert (answer.status, answer.code) == (503, "store_unavailable")
        with server.client() as client, refused("store_unavailable", "commit_outcome_unknown"):
            within(20, lambda: put(client, "trips", ROWS))
        check_health(server, 10)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

    wait_until_healthy(server)
    with server.client() as client:
        assert client.do_get(info.endpoints[0].ticket).read_all()["n"].to_pylist() == [1, 2, 3]
        put(client, "trips", ROWS)
        assert query(client, "SELECT count(*) AS n FROM trips").to_pylist()[0]["n"] in {6, 9}


@pytest.mark.minio
def test_a_server_whose_store_is_gone_says_so_when_it_starts(s3_place, start, tmp_path_factory):
    place = type(s3_place)("http://127.0.0.1:1", s3_place.bucket, "x", s3_place.access_key, s3_place.secret_key)
    with pytest.raises(AssertionError) as failed:
        start(place, QUICK)
    assert "Traceback" not in str(failed.value)
    assert "store_unavailable" in str(failed.value)


def noise(rows: int) -> pa.Table:
    """Rows that do not compress: eight bytes each."""
    return pa.table({"v": pc.random(rows)})


def check_old_snapshot(server, info: fl.FlightInfo, rows: pa.Table, name: str) -> None:
    with server.client() as client:
        assert client.do_get(info.endpoints[0].ticket).read_all() == rows
        assert query(client, f"FROM {name}") == rows
    described = server.http("GET", f"/v1/datasets/{name}").json
    assert (described["row_count"], described["version"]) == (rows.num_rows, 1)
    assert server.http("GET", "/health").status == 200


FULL = ("store_unavailable", "commit_outcome_unknown")


def can_mount() -> bool:
    """Whether this user may mount a file system that ends with the process that mounts it."""
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return os.geteuid() == 0 and done.returncode == 0


@pytest.mark.skipif(not can_mount(), reason="needs to mount a small file system")
def test_a_full_disk_is_a_clean_error_and_old_snapshots_are_intact(start, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size=12m tmpfs "{disk}" && exec "$@"'
    server = start(lake=str(disk / "lake"), wrapper=["unshare", "--mount", "sh", "-c", mount, "sh"])
    rows = noise(100_000)
    with server.client() as client:
        put(client, "trips", rows)
        info = client.get_flight_info(fl.FlightDescriptor.for_command(b"FROM trips"))
        for dataset in ("trips", "new"):
            with refused(*FULL) as refusal:
                put(client, dataset, noise(4_000_000))
            assert "no space left" in refusal.text
    answer = server.http.upload("v\n" + "\n".join(map(str, noise(2_000_000)["v"].to_pylist())), name="new")
    assert (answer.status, answer.code) == (503, "store_unavailable")

    check_old_snapshot(server, info, rows, "trips")
    assert server.http("GET", "/v1/datasets/new").status == 404
    with server.client() as client:
        assert put(client, "trips", noise(10))["version"] == 2
    assert server.http.sql("SELECT count(*) AS n FROM trips").json == [{"n": 100_010}]


def test_a_limit_on_file_sizes_is_a_clean_error_and_old_snapshots_are_intact(start):
    """The nearest thing to a full disk that needs no rights."""
    server = start(wrapper=["sh", "-c", 'ulimit -f 4096 && exec "$@"', "sh"])
    rows = noise(50_000)
    with server.client() as client:
        put(client, "trips", rows)
        info = client.get_flight_info(fl.FlightDescriptor.for_command(b"FROM trips"))
        with refused(*FULL):
            put(client, "trips", noise(8_000_000))
        with refused(*FULL):
            put(client, "new", noise(8_000_000))

    check_old_snapshot(server, info, rows, "trips")
    assert server.http("GET", "/v1/datasets/new").status == 404
    with server.client() as client:
        assert put(client, "trips", noise(10))["version"] == 2
