import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from lakehouse import connect
from lakehouse.exits import ExitCode

EXIT_SECONDS = 30


class Serve:
    """A running ``lakehouse serve`` and what it printed."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        ports = [] if "--flight" in arguments else ["--flight", "127.0.0.1:0"]
        ports += [] if "--http" in arguments else ["--http", "127.0.0.1:0"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lakehouse", "serve", *ports, *arguments],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def addresses(self, count: int = 2) -> dict[str, str]:
        found = {}
        while len(found) < count:
            line = self.process.stdout.readline()
            assert line, self.process.communicate(timeout=EXIT_SECONDS)
            name, _, address = line.partition(" ")
            if name != "Lake":
                found[name] = address.strip()
        return found

    def children(self) -> list[int]:
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def end(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=EXIT_SECONDS)
        return self.process.returncode, errors


@pytest.fixture
def serve(tmp_path: Path) -> Iterator:
    started: list[Serve] = []

    def start(*arguments: str) -> Serve:
        started.append(Serve(tmp_path, *arguments))
        return started[-1]

    yield start
    for server in started:
        server.process.kill()
        server.process.communicate()


def wait_until_gone(pids: list[int]) -> None:
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            assert select.select([descriptor], [], [], EXIT_SECONDS)[0], f"process {pid} still runs"
        finally:
            os.close(descriptor)


def test_a_server_says_where_it_answers_and_drains_on_sigterm(serve, tmp_path: Path):
    server = serve("--ready-file", "ready.json")
    addresses = server.addresses()
    ready = json.loads((tmp_path / "ready.json").read_text())
    assert ready == {"flight": addresses["Flight"], "http": addresses["HTTP"], "pid": server.process.pid}
    with connect(ready["flight"]) as client:
        assert client.health()["status"] == "ok"
    children = server.children()
    assert len(children) == 2
    server.process.terminate()
    assert server.end()[0] == ExitCode.OK
    wait_until_gone(children)
    assert not (tmp_path / "ready.json").exists()


def test_ctrl_c_ends_a_server_as_sigterm_does(serve):
    server = serve()
    server.addresses()
    server.process.send_signal(signal.SIGINT)
    code, errors = server.end()
    assert code == ExitCode.OK
    assert errors.endswith("Stopped.\n")
    assert "Traceback" not in errors


def test_a_server_says_which_lakes_it_serves_and_how_to_stop_it(serve, tmp_path: Path):
    (tmp_path / "lakehouse.toml").write_text("[lakes.sales]\npath = 'sales'\n[lakes.scratch]\npath = 'scratch'\n")
    lakes = [f"Lake    sales: {tmp_path / 'sales'}", f"Lake    scratch: {tmp_path / 'scratch'}"]
    for held in ("new", "1 dataset"):
        server = serve()
        lines = [server.process.stdout.readline().strip() for _ in range(5)]
        assert lines[:2] == [f"{lakes[0]} ({held})", f"{lakes[1]} (new)"]
        assert lines[2].startswith("Flight  grpc://127.0.0.1:")
        assert lines[3].startswith("HTTP    http://127.0.0.1:")
        assert lines[4] == "Ctrl-C stops it; the data stays."
        with connect(lines[2].split()[1]) as client:
            client.register("sales.main.orders", pa.schema([("id", pa.int64())]))
        server.process.terminate()
        assert server.end()[0] == ExitCode.OK


def test_a_server_that_dies_takes_the_other_one_down(serve):
    server = serve()
    server.addresses()
    children = server.children()
    os.kill(children[0], signal.SIGKILL)
    code, errors = server.end()
    assert code == ExitCode.ERROR
    assert "The flight server was killed by SIGKILL; the other one was stopped too." in errors
    wait_until_gone(children)


def test_when_the_parent_is_killed_its_servers_end_by_themselves(serve):
    server = serve()
    server.addresses()
    children = server.children()
    server.process.kill()
    wait_until_gone(children)


def test_one_server_alone_writes_only_its_own_address(serve, tmp_path: Path):
    flight = serve("--only", "flight", "--ready-file", "flight.json")
    address = flight.addresses(1)["Flight"]
    assert json.loads((tmp_path / "flight.json").read_text()) == {"flight": address, "pid": flight.process.pid}
    http = serve("--only", "http", "--flight", address.removeprefix("grpc://"), "--ready-file", "http.json")
    assert list(http.addresses(1)) == ["HTTP"]
    assert list(json.loads((tmp_path / "http.json").read_text())) == ["http", "pid"]
    for server in (http, flight):
        server.process.terminate()
        assert server.end()[0] == ExitCode.OK


@pytest.mark.parametrize("tower", ["flight", "http"])
def test_a_port_in_use_is_said_in_one_sentence(serve, tower: str):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, errors = serve(f"--{tower}", address).end()
    assert code != ExitCode.OK
    assert address in errors
    assert "Traceback" not in errors
    assert len(errors.strip().splitlines()) == 1, errors
    advice = f"a server may be running already; choose another port with --{tower} 127.0.0.1:0."
    assert errors == f"lakehouse: {tower} cannot listen on {address}: Address already in use: {advice}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--http", "0.0.0.0:0"], "--insecure allows 0.0.0.0"),
        (["--flight", "nonsense"], "--flight nonsense: is not HOST:PORT"),
        (["--config", "missing.toml"], "missing.toml: cannot be read"),
        (["--ready-file", "missing/ready.json"], "--ready-file missing/ready.json: its folder cannot be written to"),
        (["--lake", "s3://x"], "command line: [lakes.lake] bucket: string should have at least 3 characters"),
    ],
)
def test_what_cannot_be_started_is_refused_at_once(serve, arguments: list[str], message: str):
    code, errors = serve(*arguments).end()
    assert code == ExitCode.USAGE
    assert message in errors
    assert "Traceback" not in errors


def test_insecure_listens_beyond_this_machine(serve):
    server = serve("--insecure", "--flight", "0.0.0.0:0")
    assert server.addresses()["Flight"].startswith("grpc://0.0.0.0:")
