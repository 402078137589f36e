"""A body over the limit is refused early, is not kept, and leaves nothing behind."""

import json
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from lakehouse_process import LakehouseProcess

LIMIT = 1 << 20
SETTINGS = f"[http]\nmax_body_bytes = {LIMIT}\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory, spool: Path):
    folder = tmp_path_factory.mktemp("capped")
    server = LakehouseProcess(folder, str(folder / "lake"), f'{SETTINGS}spool_directory = "{spool}"\n').start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def spool(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("spool")


@pytest.fixture(scope="module")
def big(tmp_path_factory) -> Path:
    """A CSV file of 48 MiB."""
    path = tmp_path_factory.mktemp("big") / "big.csv"
    row = "x" * 1023 + "\n"
    path.write_text("text\n" + row * (48 << 10))
    return path


@pytest.mark.parametrize(
    "how",
    [
        ["--data-binary", "@{file}"],
        ["--data-binary", "@{file}", "-H", "Transfer-Encoding: chunked"],
        ["-F", "file=@{file}"],
        ["-F", "file=@{file}", "-H", "Transfer-Encoding: chunked"],
        ["-T", "{file}", "-X", "POST"],
        ["--data-binary", "@{file}", "-H", "Expect: 100-continue"],
    ],
    ids=lambda how: " ".join(how).format(file="F"),
)
def test_a_body_over_the_limit_is_413_and_nothing_is_registered(server, spool, big, how):
    arguments = [argument.format(file=big) for argument in how]
    form = [] if "-F" in how else ["-H", "Content-Type: text/csv"]
    url = f"{server.http_address}/v1/ingest?name=too_big"
    command = ["curl", "--silent", "--show-error", "--write-out", "\n%{http_code}", *form, *arguments, url]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition(b"\n")
    assert (status, json.loads(body)["code"]) == (b"413", "body_too_large")

    answer = server.http("GET", "/v1/datasets/too_big")
    assert (answer.status, answer.code) == (404, "dataset_not_found")
    assert server.http("GET", "/v1/datasets").json == {"datasets": []}
    assert not list(spool.iterdir())


def test_a_length_over_the_limit_is_refused_before_the_body_comes(server):
    target = urlsplit(server.http_address)
    head = f"POST /v1/ingest?name=x HTTP/1.1\r\nHost: {target.netloc}\r\nContent-Length: {3 << 30}\r\n\r\n"
    with socket.create_connection((target.hostname, target.port), timeout=10) as connection:
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_body_of_exactly_the_limit_is_taken(server):
    head = "text\n"
    body = head + "x" * 1023 + "\n" + ("y" * 1023 + "\n") * 1022
    body += "z" * (LIMIT - len(body))
    assert len(body) == LIMIT
    assert server.http.upload(body, name="fits").json["rows_ingested"] == 1024
    assert server.http.upload(body + "z", name="fits").code == "body_too_large"
    assert server.http.sql("SELECT count(*) AS n FROM fits").json == [{"n": 1024}]
    assert server.http("DELETE", "/v1/datasets/fits").status == 200
