"""One of several processes that append to the same dataset.

Arguments: a JSON object with ``worker``, ``commits`` and either ``path`` (a local lake) or ``place`` (one on S3). When it is
ready it prints a line and waits for one. Then it prints a JSON object: seconds of each commit, and requests to swap the root.
"""

import json
import sys
import time

from lakes import SCHEMA, TRIPS, objects
from s3_server import S3Place

from catalog import CommitSettings, IdempotencyKey, Lake, LocalStore, ObjectStore


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


def main() -> None:
    work = json.loads(sys.argv[1])
    store = CountingStore(LocalStore(work["path"]) if "path" in work else S3Place(**work["place"]).store())
    with Lake.open(
        "lake", store, commit=CommitSettings(deadline_seconds=60, backoff_max_seconds=0.1), single_writer=True
    ) as lake:
        print("ready", flush=True)
        sys.stdin.readline()
        seconds = []
        for number in range(work["commits"]):
            began = time.perf_counter()
            transaction = lake.begin()
            key = IdempotencyKey(f"{work['worker']}-{number}", "body")
            transaction.create_or_append(TRIPS, SCHEMA, objects(1), idempotency=key)
            transaction.commit()
            seconds.append(time.perf_counter() - began)
    print(json.dumps({"seconds": seconds, "swaps": store.swaps}))


if __name__ == "__main__":
    main()
