"""An object store on S3 or whatever speaks its protocol. The only file that knows boto3.

Reads and uploads go through a client that repeats what failed, a bounded number of times. A conditional put goes through
a client that sends it exactly once: a repeat that the library makes on its own would answer 412 to a write that landed,
and only the committer can tell that from a lost race.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .credentials import S3Access
from .keys import check_key, check_prefix
from .s3_upload import PartPool, S3Upload
from .settings import S3Credentials, StoreSettings
from .store import (
    Blob,
    Condition,
    IfAbsent,
    ObjectInfo,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreError,
    StoreUnavailableError,
    WriteConflictError,
)

_KEYS_PER_DELETE = 1000  # S3's limit


class _NotModifiedError(StoreError):
    """The etag still is the one that the caller has."""


class _RangeOutsideError(StoreError):
    """The range begins at or after the object's end."""


class S3Store:
    """A bucket, or the part of it below a prefix.

    Args:
        bucket: name of a bucket that exists.
        prefix: what every key begins with inside the bucket; a slash is put after it.
        access: the server, and who we are to it.
        settings: timeouts, attempts and sizes.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        access: S3Access | None = None,
        settings: StoreSettings | None = None,
    ) -> None:
        access = access or S3Access()
        self._settings = settings or StoreSettings()
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        session = boto3.session.Session()  # of our own: making clients on a shared one is not thread-safe
        patient, once = (_connect(session, access, self._settings, n) for n in (self._settings.attempts, 1))
        self._bucket = _Bucket(patient, bucket, self._prefix)
        self._bucket_once = _Bucket(once, bucket, self._prefix)
        self._parts = PartPool(self._settings.upload_concurrency)

    def get(self, key: str) -> Blob:
        """Read a whole object."""
        answer, data = self._download(key)
        return Blob(data, answer["ETag"])

    def get_if_changed(self, key: str, etag: str) -> Blob | None:
        """Read a whole object unless its etag still is the given one."""
        try:
            answer, data = self._download(key, IfNoneMatch=etag)
        except _NotModifiedError:
            return None
        return Blob(data, answer["ETag"])

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        """Read a part of an object."""
        if length == 0:
            self.head(key)
            return b""
        try:
            answer, data = self._download(key, Range=f"bytes={offset}-{offset + length - 1}")
        except _RangeOutsideError:
            return b""
        # A server may ignore the range and send everything, which is 200 then, and not 206.
        return data if "ContentRange" in answer else data[offset : offset + length]

    def head(self, key: str) -> ObjectInfo:
        """Describe one object."""
        answer = self._bucket.call("head_object", check_key(key))
        return ObjectInfo(key, answer["ContentLength"], answer["ETag"])

    def put(self, key: str, data: bytes, condition: Condition) -> str:
        """Write a whole object under a condition, sent exactly once."""
        header = {"IfNoneMatch": "*"} if isinstance(condition, IfAbsent) else {"IfMatch": condition.etag}
        try:
            etag: str = self._bucket_once.call("put_object", check_key(key), Body=data, **header)["ETag"]
        except ObjectNotFoundError:
            raise PreconditionFailedError(key) from None
        return etag

    def open_upload(self, key: str) -> S3Upload:
        """Begin a streaming upload, create-if-absent."""
        return S3Upload(self._bucket.call, check_key(key), self._parts, self._settings.part_bytes)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """List all objects whose key begins with ``prefix``, in key order, page by page."""
        return self._list(check_prefix(prefix))

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; keys that do not exist are fine."""
        remaining = iter(keys)
        while batch := [check_key(key) for key in islice(remaining, _KEYS_PER_DELETE)]:
            self._bucket.delete(batch)

    def close(self) -> None:
        """Wait for parts in flight and let the threads go."""
        self._parts.close()

    def _list(self, prefix: str) -> Iterator[ObjectInfo]:
        for entry in self._bucket.list(prefix, self._settings.list_page_keys):
            yield ObjectInfo(entry["Key"].removeprefix(self._prefix), entry["Size"], entry["ETag"])

    def _download(self, key: str, **conditions: str) -> tuple[dict[str, Any], bytes]:
        """Get an object, again if the answer breaks off: the library repeats only what fails before the body."""
        failure: Exception | None = None
        for _ in range(self._settings.attempts):
            answer = self._bucket.call("get_object", check_key(key), **conditions)
            try:
                return answer, answer["Body"].read()
            except (BotoCoreError, OSError) as error:
                failure = error
        raise StoreUnavailableError("the object store broke off its answer") from failure


class _Bucket:
    """A client bound to one bucket and prefix that raises our errors only."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    def call(self, operation: str, key: str, **parameters: Any) -> dict[str, Any]:
        with _our_errors(key):
            answer: dict[str, Any] = getattr(self._client, operation)(
                Bucket=self._bucket, Key=self._prefix + key, **parameters
            )
            return answer

    def list(self, prefix: str, page_keys: int) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix, PaginationConfig={"PageSize": page_keys}
        )
        with _our_errors(prefix):
            for page in pages:
                yield from page.get("Contents", ())

    def delete(self, keys: Iterable[str]) -> None:
        objects = [{"Key": self._prefix + key} for key in keys]
        with _our_errors("a batch of keys"):
            answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})
        if failed := answer.get("Errors"):
            raise StoreUnavailableError(f"the object store did not delete {len(failed)} objects ({failed[0]['Code']})")


def _connect(session: Any, access: S3Access, settings: StoreSettings, attempts: int) -> Any:
    config = Config(
        connect_timeout=settings.connect_timeout_seconds,
        read_timeout=settings.read_timeout_seconds,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=settings.max_connections,
        s3={"addressing_style": "path" if access.endpoint else "auto"},
        # The signature covers a SHA-256 of the body already, and not every server knows the newer checksums.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    keys = _reveal(access.credentials) if access.credentials else {}
    return session.client("s3", endpoint_url=access.endpoint, region_name=access.region, config=config, **keys)


def _reveal(credentials: S3Credentials) -> dict[str, str | None]:
    token = credentials.session_token
    return {
        "aws_access_key_id": credentials.access_key_id,
        "aws_secret_access_key": credentials.secret_access_key.get_secret_value(),
        "aws_session_token": token.get_secret_value() if token else None,
    }


@contextmanager
def _our_errors(key: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise _meaning(error, key) from error
    except BotoCoreError as error:
        raise StoreUnavailableError(f"the object store cannot be reached ({type(error).__name__})") from error


def _meaning(error: ClientError, key: str) -> StoreError:
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    code = error.response["Error"]["Code"]
    if status == 404 and code != "NoSuchBucket":  # noqa: PLR2004 - HTTP's own numbers
        return ObjectNotFoundError(key)
    known = {304: _NotModifiedError, 409: WriteConflictError, 412: PreconditionFailedError, 416: _RangeOutsideError}
    if status in known:
        return known[status](key)
    return StoreUnavailableError(f"the object store answered {status} {code}")
