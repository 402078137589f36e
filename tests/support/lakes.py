"""Small lakes, and rows that exist only as entries of the catalog."""

import pyarrow as pa

from catalog import OBJECTS, CommitSettings, DatasetName, Lake, ObjectStore, data_key

SCHEMA = pa.schema([pa.field("id", pa.int64())])
OTHER_SCHEMA = pa.schema([pa.field("id", pa.string())])
TRIPS = DatasetName("main", "trips")
STOPS = DatasetName("main", "stops")
QUICK = CommitSettings(backoff_initial_seconds=0.0001, backoff_max_seconds=0.001, deadline_seconds=10)


def objects(*rows: int, epoch: int = 1) -> pa.Table:
    """Describe one data object for each number of rows."""
    return pa.Table.from_pylist(
        [
            {
                "key": data_key("d", epoch, n),
                "bytes": 100 * count,
                "rows": count,
                "etag": f'"{n}"',
                "schema_id": 0,
                "epoch": epoch,
                "added_version": 0,
                "statistics": [],
            }
            for n, count in enumerate(rows)
        ],
        OBJECTS,
    )


def open_lake(store: ObjectStore, settings: CommitSettings = QUICK) -> Lake:
    """Open a lake without asking the store whether it keeps conditions."""
    return Lake.open("lake", store, commit=settings, single_writer=True)


def append(lake: Lake, *rows: int, name: DatasetName = TRIPS, **keywords) -> int:
    """Append rows, creating the dataset if it is missing; return the dataset's new version."""
    transaction = lake.begin()
    transaction.create_or_append(name, SCHEMA, objects(*rows, epoch=transaction.base.epoch), **keywords)
    return transaction.commit().datasets[0].version
