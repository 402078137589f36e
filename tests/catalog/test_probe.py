"""A store that does not honour conditional writes is found out before anything is written to it."""

from collections.abc import Iterator

import pytest
import stub_s3
from stub_s3 import StubS3

from catalog import (
    Condition,
    ErrorKind,
    IfAbsent,
    IfMatch,
    LakehouseError,
    MemoryStore,
    PreconditionFailedError,
    S3Access,
    S3Credentials,
    S3Store,
    StoreSettings,
    WriteConflictError,
    probe_conditional_writes,
)


@pytest.fixture
def stub() -> Iterator[StubS3]:
    with stub_s3.running() as server:
        yield server


def store_at(endpoint: str) -> S3Store:
    access = S3Access(endpoint, credentials=S3Credentials(access_key_id="key", secret_access_key="hush"))
    return S3Store("bucket", access=access, settings=StoreSettings(attempts=1))


class LaxStore(MemoryStore):
    """Lets one kind of condition pass, whether it holds or not."""

    def __init__(self, lax: str) -> None:
        super().__init__()
        self._lax = lax

    def put(self, key: str, data: bytes, condition: Condition) -> str:
        current = self._blobs.get(key)
        passes = {
            "create": isinstance(condition, IfAbsent) and current,
            "replace": isinstance(condition, IfMatch) and current,
            "missing": isinstance(condition, IfMatch) and not current,
            "outdated": isinstance(condition, IfMatch) and current and not condition.etag.startswith('"0000'),
        }
        if passes[self._lax]:
            self.delete([key])
            return super().put(key, data, IfAbsent())
        return super().put(key, data, condition)


class ConflictingStore(MemoryStore):
    """Answers 409 in place of 412, as S3 may while another write is in flight."""

    def put(self, key: str, data: bytes, condition: Condition) -> str:
        try:
            return super().put(key, data, condition)
        except PreconditionFailedError:
            raise WriteConflictError(key) from None


def test_a_server_that_ignores_conditions_is_refused(stub):
    with pytest.raises(LakehouseError) as caught:
        probe_conditional_writes(store_at(stub.endpoint))

    assert caught.value.code == "store_ignores_conditional_writes"
    assert caught.value.kind is ErrorKind.INVALID_ARGUMENT
    assert "created an object twice" in caught.value.message
    assert "single_writer" in caught.value.message


@pytest.mark.parametrize(
    ("lax", "said"),
    [
        ("create", "created an object twice"),
        ("replace", "although the etag was wrong"),
        ("missing", "created an object that was to be replaced"),
        ("outdated", "although the etag was outdated"),
    ],
)
def test_a_store_that_ignores_some_conditions_is_refused(lax, said):
    store = LaxStore(lax)
    MemoryStore.put(store, "catalog/root.parquet", b"root", IfAbsent())

    with pytest.raises(LakehouseError, match=said):
        probe_conditional_writes(store)

    assert [info.key for info in store.list("")] == ["catalog/root.parquet"]


def test_a_store_where_several_racers_win_is_refused():
    class RacyStore(MemoryStore):
        def put(self, key: str, data: bytes, condition: Condition) -> str:
            if not data.startswith(b"racer"):
                return super().put(key, data, condition)
            current = self.get(key)
            return super().put(key, data, IfMatch(current.etag))

    with pytest.raises(LakehouseError, match="of 8 simultaneous writes"):
        probe_conditional_writes(RacyStore())


def test_a_store_that_answers_conflict_is_accepted():
    probe_conditional_writes(ConflictingStore())


def test_a_store_that_cannot_be_reached_is_unavailable(stub):
    stub.faults[:] = [stub_s3.status(503, "SlowDown")] * 10

    with pytest.raises(LakehouseError) as caught:
        probe_conditional_writes(store_at(stub.endpoint))

    assert caught.value.kind is ErrorKind.UNAVAILABLE
    assert caught.value.code == "store_unavailable"


def test_the_probe_passes_on_the_real_server(s3_place):
    store = s3_place.store()

    probe_conditional_writes(store)

    assert list(store.list("")) == []
