"""One data object: Parquet that streams into an upload."""

from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .physical import to_parquet, written_schema
from .schema import field_id
from .settings import WriterSettings
from .statistics import object_statistics
from .store import ObjectInfo, ObjectStore, PreconditionFailedError, Upload

SCHEMA_ID = 0
"""Datasets have one schema so far."""


def write_data_object(
    store: ObjectStore, key: str, epoch: int, rows: pa.Table, settings: WriterSettings
) -> dict[str, Any]:
    """Write rows as one Parquet object and return its row of OBJECTS.

    Raises:
        StoreError: the object was not published, or it is not known whether it was.
    """
    sink = _UploadFile(store.open_upload(key))
    try:
        footer = _write_parquet(sink, rows, settings)
        info = _complete(store, key, sink)
    except BaseException:
        sink.discard()
        raise
    return {
        "key": key,
        "bytes": info.size,
        "rows": footer.num_rows,
        "etag": info.etag,
        "schema_id": SCHEMA_ID,
        "epoch": epoch,
        "added_version": 0,
        "statistics": object_statistics(footer, rows.schema, _nan_columns(rows)),
    }


def _write_parquet(sink: "_UploadFile", rows: pa.Table, settings: WriterSettings) -> pq.FileMetaData:
    footers: list[pq.FileMetaData] = []
    physical = pa.Table.from_batches([to_parquet(batch) for batch in rows.to_batches()], written_schema(rows.schema))
    writer = pq.ParquetWriter(
        sink,
        physical.schema,
        metadata_collector=footers,
        compression=settings.compression,
        compression_level=settings.compression_level if settings.compression == "zstd" else None,
        write_page_index=True,
        # Up to 18 digits are then plain integers: smaller, and faster to read.
        store_decimal_as_integer=True,
        store_schema=False,
    )
    try:
        writer.write_table(physical, row_group_size=settings.row_group_rows)
        writer.close()
    except BaseException:
        sink.discard()  # first: Arrow finishes its file even when it is thrown away
        with suppress(Exception):
            writer.close()
        raise
    (footer,) = footers
    return footer


def _complete(store: ObjectStore, key: str, sink: "_UploadFile") -> ObjectInfo:
    try:
        return sink.upload.complete()
    except PreconditionFailedError:
        # Nobody else makes this key: the answer to our own first attempt was lost, and the store tried again.
        info = store.head(key)
        if info.size != sink.bytes:
            raise
        return info


def _nan_columns(rows: pa.Table) -> set[int]:
    """Return the field ids of the float columns with a NaN: their maximum is unknown."""
    return {
        field_id(field)
        for field, column in zip(rows.schema, rows.columns, strict=True)
        if pa.types.is_floating(field.type) and pc.any(pc.is_nan(column)).as_py()
    }


class _UploadFile:
    """The part of a file that Arrow's writer needs, over an upload."""

    closed = False

    def __init__(self, upload: Upload) -> None:
        self.upload = upload
        self.bytes = 0
        self._discarded = False

    def write(self, data: bytes) -> int:
        if not self._discarded:
            self.upload.write(data)
            self.bytes += len(data)
        return len(data)

    def flush(self) -> None: ...

    def discard(self) -> None:
        self._discarded = True
        self.upload.abort()
