"""The object store of the tests, for all of them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

from minio import Minio
from s3_server import BUCKET, Ladder, S3Place, S3Server

LADDER = pytest.StashKey[Ladder]()
WORKER_KEY = "lakehouse_s3"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the long form of campaigns, too")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LADDER] = ladder = Ladder()
    config.add_cleanup(ladder.stop)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    """Give every worker of a parallel run the one server."""
    node.workerinput[WORKER_KEY] = node.config.stash[LADDER].server().url


def pytest_report_header(config: pytest.Config) -> str:
    return f"object store: {config.stash[LADDER].reason}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    ladder = config.stash[LADDER]
    for item in items:
        if "minio" in item.keywords and not ladder.is_real:
            item.add_marker(pytest.mark.skip(reason=f"needs a real MinIO; here is {ladder.reason}"))
        if "slow" in item.keywords and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="the long form of a campaign: run with --slow"))


@pytest.fixture(scope="session")
def s3_server(pytestconfig: pytest.Config) -> S3Server:
    """The S3 server of this test run."""
    worker: dict[str, str] = getattr(pytestconfig, "workerinput", {})
    if WORKER_KEY in worker:
        return S3Server(worker[WORKER_KEY])
    return pytestconfig.stash[LADDER].server()


@pytest.fixture
def s3_place(s3_server: S3Server) -> S3Place:
    """An empty part of a bucket, of this test only."""
    return s3_server.place()


@pytest.fixture
def own_minio(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[tuple[Minio, S3Place]]:
    """A running MinIO of this test only, which it may stop and start, with an empty place on it."""
    binary = pytestconfig.stash[LADDER].minio
    if binary is None:
        pytest.skip("needs a MinIO binary to stop and start")
    server = Minio(binary, tmp_path / "minio")
    server.start()
    try:
        place = S3Place(server.endpoint, BUCKET, "lake", server.access_key, server.secret_key)
        place.make_bucket()
        yield server, place
    finally:
        server.stop()
