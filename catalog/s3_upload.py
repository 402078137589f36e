"""Streaming uploads to S3: one request for a small object, parts in parallel for a big one.

Requests of an upload are repeated when their answer is lost, so its last one may find that the object exists because an
earlier attempt of the same request made it. Every upload therefore leaves an id in the object's metadata, and looks for
it before it reports that the key was taken.
"""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from .store import ObjectInfo, ObjectNotFoundError, PreconditionFailedError, StoreError, StoreUnavailableError

Call = Callable[..., dict[str, Any]]
"""``call(operation, key, **parameters)`` of a bucket; raises StoreError only."""

_ID = "upload-id"


class PartPool:
    """Threads that send parts. It holds a part back while as many as there are threads are in flight."""

    def __init__(self, concurrency: int) -> None:
        self._free = threading.BoundedSemaphore(concurrency)
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="s3-part")

    def submit(self, send: Callable[[], str]) -> Future[str]:
        """Run ``send`` on a thread; wait here until one is free."""
        self._free.acquire()
        try:
            future = self._threads.submit(send)
        except BaseException:
            self._free.release()
            raise
        future.add_done_callback(lambda _: self._free.release())
        return future

    def close(self) -> None:
        """Wait for what is in flight and let the threads go."""
        self._threads.shutdown()


class S3Upload:
    """A streaming upload into an S3Store."""

    def __init__(self, call: Call, key: str, pool: PartPool, part_bytes: int) -> None:
        self._call = call
        self._key = key
        self._pool = pool
        self._part_bytes = part_bytes
        self._id = uuid.uuid4().hex
        self._multipart_id: str | None = None
        self._buffer = bytearray()
        self._parts: list[Future[str]] = []
        self._size = 0
        self._open = True

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes; blocks while too many parts are in flight."""
        self._check_open()
        view = memoryview(data).cast("B")
        self._size += len(view)
        while view:
            room = self._part_bytes - len(self._buffer)
            self._buffer += view[:room]
            view = view[room:]
            if len(self._buffer) == self._part_bytes:
                self._send_part()

    def complete(self) -> ObjectInfo:
        """Publish the object, create-if-absent."""
        self._check_open()
        try:
            answer = self._put_whole() if self._multipart_id is None else self._complete_parts(self._multipart_id)
            info = ObjectInfo(self._key, self._size, answer["ETag"])
        except (PreconditionFailedError, ObjectNotFoundError) as error:
            info = self._landed_before(error)
        self._open = False
        return info

    def abort(self) -> None:
        """Give the upload up and free its parts. A published object has no parts left, and stays."""
        if not self._open:
            return
        self._open = False
        self._buffer = bytearray()
        for part in self._parts:
            part.cancel()
        wait(self._parts)  # a part that lands after the abort would stay for ever
        if self._multipart_id is not None:
            with suppress(StoreError):
                self._call("abort_multipart_upload", self._key, UploadId=self._multipart_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.abort()

    def _send_part(self) -> None:
        if self._multipart_id is None:
            answer = self._call("create_multipart_upload", self._key, Metadata={_ID: self._id})
            self._multipart_id = answer["UploadId"]
        for part in self._parts:
            if part.done():
                part.result()  # raises what a part failed with
        body, self._buffer = self._buffer, bytearray()
        number, multipart_id = len(self._parts) + 1, self._multipart_id

        def send() -> str:
            answer = self._call("upload_part", self._key, UploadId=multipart_id, PartNumber=number, Body=body)
            etag: str = answer["ETag"]
            return etag

        self._parts.append(self._pool.submit(send))

    def _put_whole(self) -> dict[str, Any]:
        return self._call("put_object", self._key, Body=self._buffer, IfNoneMatch="*", Metadata={_ID: self._id})

    def _complete_parts(self, multipart_id: str) -> dict[str, Any]:
        if self._buffer:
            self._send_part()
        parts = [{"PartNumber": number, "ETag": part.result()} for number, part in enumerate(self._parts, start=1)]
        return self._call(
            "complete_multipart_upload",
            self._key,
            UploadId=multipart_id,
            MultipartUpload={"Parts": parts},
            IfNoneMatch="*",
        )

    def _landed_before(self, error: StoreError) -> ObjectInfo:
        """Describe the object if an earlier attempt of ours published it; raise if it was somebody else, or nobody."""
        try:
            answer = self._call("head_object", self._key)
        except ObjectNotFoundError:
            raise StoreUnavailableError("the object store lost the upload") from error
        if answer.get("Metadata", {}).get(_ID) != self._id:
            raise PreconditionFailedError(self._key) from error
        return ObjectInfo(self._key, answer["ContentLength"], answer["ETag"])

    def _check_open(self) -> None:
        if not self._open:
            raise ValueError("the upload is closed")
