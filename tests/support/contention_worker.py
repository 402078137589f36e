"""One of several processes that append to the same dataset.

Arguments: a JSON object with ``worker``, ``commits`` and either ``path`` (a local lake) or ``place`` (one on S3). When it is
ready it prints a line and waits for one. Then it prints a JSON object: seconds of each commit, and requests to swap the root.
"""

import json
import sys
import time

from lakes import SCHEMA, TRIPS, objects
from s3_server import S3Place

from catalog import CommitSettings, ErrorKind, IdempotencyKey, Lake, LakehouseError, LocalStore, ObjectStore


class CountingStore:
    """Counts the requests to replace the root."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.swaps = 0

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    def put(self, key, data, condition):
        self.swaps += key == "catalog/root.parquet"
        return self._store.put(key, data, condition)


def commit(lake: Lake, key: IdempotencyKey) -> None:
    """Append one row, as an honest client does: repeat it with the same key until it is known to be there."""
    while True:
        transaction = lake.begin()
        transaction.create_or_append(TRIPS, SCHEMA, objects(1), idempotency=key)
        try:
            transaction.commit()
        except LakehouseError as error:
            if error.kind not in (ErrorKind.CONFLICT, ErrorKind.OUTCOME_UNKNOWN, ErrorKind.UNAVAILABLE):
                raise
        else:
            return


def main() -> None:
    work = json.loads(sys.argv[1])
    store = CountingStore(LocalStore(work["path"]) if "path" in work else S3Place(**work["place"]).store())
    with Lake.open("lake", store, commit=CommitSettings(), single_writer=True) as lake:
        print("ready", flush=True)
        sys.stdin.readline()
        seconds = []
        for number in range(work["commits"]):
            began = time.perf_counter()
            commit(lake, IdempotencyKey(f"{work['worker']}-{number}", "body"))
            seconds.append(time.perf_counter() - began)
    print(json.dumps({"seconds": seconds, "swaps": store.swaps}))


if __name__ == "__main__":
    main()
