"""Servers as a user starts them, on lakes of every kind."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from lakehouse_process import LakehouseProcess
from s3_server import S3Place, S3Server

from lakehouse.sample_data import write_workers_csv

Start = Callable[..., LakehouseProcess]


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakehouseProcess]:
    """A server on a local lake, for all tests that only add datasets of names of their own."""
    folder = tmp_path_factory.mktemp("local")
    server = LakehouseProcess(folder, str(folder / "lake"), environ={"CANARY": "canary-in-the-environment"})
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def bucket(s3_server: S3Server) -> S3Place:
    """The lake of `on_minio`."""
    return s3_server.place()


@pytest.fixture(scope="session")
def on_minio(tmp_path_factory: pytest.TempPathFactory, bucket: S3Place) -> Iterator[LakehouseProcess]:
    """A server on MinIO, for all tests that only add datasets of names of their own."""
    server = LakehouseProcess(tmp_path_factory.mktemp("minio"), bucket.uri, environ=bucket.environ)
    server.start()
    yield server
    server.close()


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start servers of this test only; without a place, on a local lake."""
    with ExitStack() as stack:

        def started(place: S3Place | None = None, settings: str = "", **keywords) -> LakehouseProcess:
            folder = tmp_path_factory.mktemp("server")
            lake = keywords.pop("lake", place.uri if place else str(folder / "lake"))
            environ = (place.environ if place else {}) | keywords.pop("environ", {})
            server = LakehouseProcess(folder, lake, settings, environ, **keywords)
            stack.callback(server.close)
            return server.start()

        yield started


@pytest.fixture(scope="session")
def workers_csv(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The 500,000 workers."""
    path = tmp_path_factory.mktemp("workers") / "workers_500k.csv"
    write_workers_csv(path)
    yield path
    with suppress(FileNotFoundError):
        path.unlink()
