"""The S3 server that tests run against: the first of a ladder that works."""

import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import minio
from botocore.exceptions import ClientError

from catalog import LakeSettings, S3Access, S3Credentials, S3Store, StoreSettings

VARIABLE = "LAKEHOUSE_TEST_S3"
BUCKET = "lakehouse-tests"


@dataclass(frozen=True)
class S3Place:
    """A part of a bucket that belongs to one test."""

    endpoint: str
    bucket: str
    prefix: str
    access_key: str
    secret_key: str

    @property
    def access(self) -> S3Access:
        credentials = S3Credentials(access_key_id=self.access_key, secret_access_key=self.secret_key)
        return S3Access(self.endpoint, "us-east-1", credentials)

    @property
    def lake(self) -> LakeSettings:
        return LakeSettings(bucket=self.bucket, prefix=self.prefix, endpoint=self.endpoint)

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    @property
    def environ(self) -> dict[str, str]:
        """What a server in another process needs in its environment."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_REGION": "us-east-1",
        }

    def store(self, settings: StoreSettings | None = None) -> S3Store:
        return S3Store(self.bucket, self.prefix, access=self.access, settings=settings)

    def client(self) -> Any:
        """Make a plain client, to look at the bucket past our own code."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )

    def make_bucket(self) -> None:
        try:
            self.client().create_bucket(Bucket=self.bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                raise


@dataclass(frozen=True)
class S3Server:
    """A server with a bucket. ``url`` carries it to other processes."""

    url: str

    def place(self) -> S3Place:
        parts = urlsplit(self.url)
        return S3Place(
            endpoint=f"{parts.scheme}://{parts.hostname}:{parts.port}",
            bucket=parts.path.strip("/"),
            prefix=f"t-{uuid.uuid4().hex}",
            access_key=parts.username or "",
            secret_key=parts.password or "",
        )


class Ladder:
    """Chooses a server at once, starts it when the first test asks."""

    def __init__(self) -> None:
        self.minio: Path | None = None
        self._server: S3Server | None = None
        self._stop: list[Callable[[], None]] = []
        if os.environ.get(VARIABLE):
            self.reason = f"{VARIABLE} is set"
            self.is_real = True
            return
        self.minio, why = minio.find_binary()
        self.is_real = self.minio is not None
        self.reason = f"MinIO, {why}" if self.minio else f"moto, because {why}"

    def server(self) -> S3Server:
        if self._server is None:
            self._server = self._start()
            self._server.place().make_bucket()
        return self._server

    def stop(self) -> None:
        while self._stop:
            self._stop.pop()()

    def _start(self) -> S3Server:
        if url := os.environ.get(VARIABLE):
            return S3Server(url)
        if self.minio is None:
            return self._start_moto()
        folder = tempfile.mkdtemp(prefix="lakehouse-minio-")
        self._stop.append(lambda: shutil.rmtree(folder, ignore_errors=True))
        server = minio.Minio(self.minio, Path(folder))
        server.start()
        self._stop.append(server.stop)
        return S3Server(f"http://{server.access_key}:{server.secret_key}@127.0.0.1:{server.port}/{BUCKET}")

    def _start_moto(self) -> S3Server:
        port = minio.free_port()
        process = minio.spawn([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], {})
        self._stop.append(lambda: minio.end(process))
        minio.wait_for(f"http://127.0.0.1:{port}/", process)
        return S3Server(f"http://tests:tests@127.0.0.1:{port}/{BUCKET}")
