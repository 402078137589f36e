"""Several processes commit to one dataset at the same time: nothing is lost, nothing is there twice."""

import json
import statistics
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from lakes import TRIPS, open_lake

from catalog import CommitSettings, LocalStore, ObjectStore

ROOT = Path(__file__).parents[2]
WORKER = ROOT / "tests" / "support" / "contention_worker.py"


def run_workers(processes: int, commits: int, place: dict) -> list[dict]:
    """Let all processes begin at the same moment, and return what they say."""
    command = [sys.executable, str(WORKER)]
    workers = [
        subprocess.Popen(
            [*command, json.dumps({"worker": n, "commits": commits, **place})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(ROOT)},
        )
        for n in range(processes)
    ]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    reports = [json.loads(worker.communicate()[0]) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * processes
    return reports


def check(store: ObjectStore, reports: list[dict], commits: int) -> None:
    with open_lake(store, CommitSettings()) as lake:
        snapshot = lake.snapshot()
        entry = snapshot.entry(TRIPS)
        manifest = snapshot.manifest(entry)
        assert entry.version == entry.row_count == entry.object_count == commits
        assert sorted(manifest.objects["added_version"].to_pylist()) == list(range(1, commits + 1))
        assert [record.version for record in manifest.log] == list(range(1, commits + 1))
        assert len({key.key_hash for key in manifest.ingest_keys}) == commits
    seconds = sorted(second for report in reports for second in report["seconds"])
    swaps = sum(report["swaps"] for report in reports)
    print(
        f"{commits} commits: p50 {statistics.median(seconds) * 1000:.0f} ms, "
        f"p99 {seconds[int(len(seconds) * 0.99)] * 1000:.0f} ms, max {seconds[-1] * 1000:.0f} ms, "
        f"{swaps / commits - 1:.2f} retries per commit"
    )


def test_two_processes_append_to_one_local_dataset(tmp_path):
    reports = run_workers(2, 40, {"path": str(tmp_path / "lake")})
    check(LocalStore(tmp_path / "lake"), reports, 80)


@pytest.mark.minio
@pytest.mark.timeout(300)
def test_eight_processes_with_a_hundred_appends_each_make_exactly_800_versions(s3_place):
    reports = run_workers(8, 100, {"place": asdict(s3_place)})
    check(s3_place.store(), reports, 800)
