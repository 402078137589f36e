"""What is special about the store on S3: repeats, lost answers, errors, uploads in parts."""

import os
import socket
from collections.abc import Iterator
from dataclasses import replace

import fault_proxy
import pytest
import stub_s3
from fault_proxy import FaultProxy, Loss
from stub_s3 import StubS3

from catalog import (
    Blob,
    IfAbsent,
    IfMatch,
    ObjectNotFoundError,
    PreconditionFailedError,
    S3Access,
    S3Credentials,
    S3Store,
    StoreSettings,
    StoreUnavailableError,
    WriteConflictError,
)

PART_BYTES = 5 * 1024 * 1024
SETTINGS = StoreSettings(part_bytes=PART_BYTES, read_timeout_seconds=5)


def store_at(endpoint: str, **settings: float) -> S3Store:
    access = S3Access(endpoint, credentials=S3Credentials(access_key_id="key", secret_access_key="hush"))
    return S3Store("bucket", "lake", access=access, settings=StoreSettings(**settings))


@pytest.fixture
def stub() -> Iterator[StubS3]:
    with stub_s3.running() as server:
        yield server


@pytest.fixture
def proxy(s3_place) -> Iterator[FaultProxy]:
    with fault_proxy.running(s3_place.endpoint) as server:
        yield server


def test_keys_lie_below_the_prefix(s3_place):
    s3_place.store().put("data/x", b"content", IfAbsent())

    answer = s3_place.client().get_object(Bucket=s3_place.bucket, Key=f"{s3_place.prefix}/data/x")

    assert answer["Body"].read() == b"content"


def test_a_conditional_put_is_sent_once(stub):
    for fault in (stub_s3.status(503, "SlowDown"), stub_s3.status(500, "InternalError"), stub_s3.hang_up):
        stub.requests.clear()
        stub.faults[:] = [fault]

        with pytest.raises(StoreUnavailableError):
            store_at(stub.endpoint).put("key", b"x", IfAbsent())

        assert len(stub.requests) == 1


def test_a_read_is_repeated_a_bounded_number_of_times(stub):
    stub.objects["bucket/lake/key"] = b"content"
    store = store_at(stub.endpoint)
    stub.faults[:] = [stub_s3.status(503, "SlowDown"), stub_s3.hang_up]

    assert store.get("key").data == b"content"
    assert len(stub.requests) == 3

    stub.requests.clear()
    stub.faults[:] = [stub_s3.status(503, "SlowDown")] * 4
    with pytest.raises(StoreUnavailableError, match="503 SlowDown"):
        store.get("key")
    assert len(stub.requests) == 3


def test_a_read_that_breaks_off_is_repeated(stub):
    stub.objects["bucket/lake/key"] = b"content"
    store = store_at(stub.endpoint)
    stub.faults[:] = [stub_s3.broken_off, stub_s3.broken_off]

    assert store.get("key").data == b"content"

    stub.faults[:] = [stub_s3.broken_off] * 3
    with pytest.raises(StoreUnavailableError, match="broke off"):
        store.get("key")


def test_a_server_that_ignores_ranges_is_read_right(stub):
    stub.objects["bucket/lake/key"] = b"0123456789"

    assert store_at(stub.endpoint).get_range("key", 3, 4) == b"3456"


@pytest.mark.parametrize(
    ("code", "error", "meaning"),
    [
        (404, "NoSuchKey", PreconditionFailedError),
        (412, "PreconditionFailed", PreconditionFailedError),
        (409, "ConditionalRequestConflict", WriteConflictError),
        (404, "NoSuchBucket", StoreUnavailableError),
        (403, "AccessDenied", StoreUnavailableError),
        (400, "ExpiredToken", StoreUnavailableError),
        (501, "NotImplemented", StoreUnavailableError),
    ],
)
def test_an_answer_to_a_conditional_put_has_one_meaning(stub, code, error, meaning):
    stub.faults[:] = [stub_s3.status(code, error)]

    with pytest.raises(meaning):
        store_at(stub.endpoint).put("key", b"x", IfMatch('"etag"'))


def test_a_missing_bucket_is_not_a_missing_object(stub):
    stub.faults[:] = [stub_s3.status(404, "NoSuchBucket")]

    with pytest.raises(StoreUnavailableError, match="NoSuchBucket"):
        store_at(stub.endpoint).get("key")


def test_a_store_that_refuses_connections_is_unavailable():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        store = store_at(f"http://127.0.0.1:{closed.getsockname()[1]}", attempts=1)

        with pytest.raises(StoreUnavailableError, match="EndpointConnectionError"):
            store.get("key")


def test_a_store_that_does_not_answer_is_unavailable_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = store_at(f"http://127.0.0.1:{silent.getsockname()[1]}", attempts=1, read_timeout_seconds=0.1)

        with pytest.raises(StoreUnavailableError, match="ReadTimeoutError"):
            store.put("key", b"x", IfAbsent())


def test_a_secret_is_in_no_text(stub):
    stub.faults[:] = [stub_s3.status(403, "SignatureDoesNotMatch")]
    store = store_at(stub.endpoint)

    with pytest.raises(StoreUnavailableError) as caught:
        store.put("key", b"x", IfAbsent())

    access = S3Access(stub.endpoint, credentials=S3Credentials(access_key_id="key", secret_access_key="hush"))
    assert "hush" not in f"{caught.value} {caught.value.__cause__} {access} {access!r} {vars(store)}"


def test_a_lost_answer_to_a_put_leaves_the_outcome_to_the_caller(s3_place, proxy):
    store = replace(s3_place, endpoint=proxy.endpoint).store(SETTINGS)
    proxy.lose_once(Loss.ANSWER, "PUT", "key")

    with pytest.raises(StoreUnavailableError):
        store.put("key", b"landed", IfAbsent())

    assert store.get("key").data == b"landed"
    with pytest.raises(PreconditionFailedError):
        store.put("key", b"landed", IfAbsent())


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize(
    ("size", "method", "part_of_path"),
    [(10, "PUT", "/key"), (PART_BYTES + 10, "PUT", "partNumber=2"), (PART_BYTES + 10, "POST", "uploadId=")],
)
def test_an_upload_survives_a_loss(s3_place, proxy, loss, size, method, part_of_path):
    content = os.urandom(size)
    store = replace(s3_place, endpoint=proxy.endpoint).store(SETTINGS)
    proxy.lose_once(loss, method, part_of_path)

    with store.open_upload("key") as upload:
        upload.write(content)
        info = upload.complete()

    assert store.get("key") == Blob(content, info.etag)
    assert info == store.head("key")


def test_an_upload_given_up_frees_its_parts(s3_place):
    store = s3_place.store(SETTINGS)
    upload = store.open_upload("key")
    upload.write(b"x" * (3 * PART_BYTES))
    assert multipart_uploads(s3_place, "key") == 1

    upload.abort()

    assert multipart_uploads(s3_place, "key") == 0


def test_an_upload_that_fails_says_so_and_frees_its_parts(s3_place, proxy):
    store = replace(s3_place, endpoint=proxy.endpoint).store(StoreSettings(part_bytes=PART_BYTES, attempts=1))
    proxy.lose_once(Loss.REQUEST, "PUT", "partNumber=1")

    with store.open_upload("key") as upload:
        upload.write(b"x" * (PART_BYTES + 10))
        with pytest.raises(StoreUnavailableError):
            upload.complete()

    assert multipart_uploads(s3_place, "key") == 0
    with pytest.raises(ObjectNotFoundError):
        store.head("key")


def test_an_upload_holds_a_bounded_number_of_parts(s3_place, proxy):
    """With room for one part in flight, the next is handed over only when that one is through."""
    store = replace(s3_place, endpoint=proxy.endpoint).store(StoreSettings(part_bytes=PART_BYTES, upload_concurrency=1))

    with store.open_upload("key") as upload:
        for _ in range(6):
            upload.write(b"x" * PART_BYTES)
            begun = sum("partNumber=" in request for request in proxy.requests)
            written = len(upload._parts)
            assert written - begun <= 1
        upload.complete()

    assert store.head("key").size == 6 * PART_BYTES


def test_a_store_that_comes_back_is_used_again(own_minio):
    server, place = own_minio
    store = place.store(StoreSettings(attempts=1))
    etag = store.put("key", b"before", IfAbsent())

    server.stop()
    with pytest.raises(StoreUnavailableError):
        store.get_if_changed("key", etag)
    with pytest.raises(StoreUnavailableError):
        store.put("key", b"during", IfMatch(etag))

    server.start()
    assert store.get_if_changed("key", etag) is None
    store.put("key", b"after", IfMatch(etag))
    assert store.get("key").data == b"after"


def multipart_uploads(place, key: str) -> int:
    answer = place.client().list_multipart_uploads(Bucket=place.bucket, Prefix=f"{place.prefix}/{key}")
    return len(answer.get("Uploads", ()))
