"""One data object while it is being written: Parquet that streams into an upload."""

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


class DataObjectWriter:
    """A Parquet object that grows by one row group at a time. For one thread; its methods raise StoreError."""

    def __init__(self, store: ObjectStore, key: str, epoch: int, schema: pa.Schema, settings: WriterSettings) -> None:
        self._store = store
        self._key = key
        self._epoch = epoch
        self._schema = schema
        self._footers: list[pq.FileMetaData] = []
        self._nan_columns: set[int] = set()
        self._sink = _UploadFile(store.open_upload(key))
        try:
            self._parquet = self._open_parquet(settings)
        except BaseException:
            self._sink.discard()
            raise

    @property
    def bytes(self) -> int:
        """Bytes that went to the store so far."""
        return self._sink.bytes

    def write(self, table: pa.Table) -> None:
        """Append the rows as one row group."""
        self._note_nans(table)
        batches = [to_parquet(batch) for batch in table.to_batches()]
        self._parquet.write_table(pa.Table.from_batches(batches), row_group_size=table.num_rows)

    def close(self) -> dict[str, Any]:
        """Publish the object and return its row of OBJECTS."""
        self._parquet.close()
        info = self._complete()
        (footer,) = self._footers
        return {
            "key": self._key,
            "bytes": info.size,
            "rows": footer.num_rows,
            "etag": info.etag,
            "schema_id": SCHEMA_ID,
            "epoch": self._epoch,
            "added_version": 0,
            "statistics": object_statistics(footer, self._schema, self._nan_columns),
        }

    def abort(self) -> None:
        """Give the object up; never raises."""
        self._sink.discard()
        with suppress(Exception):
            self._parquet.close()

    def _open_parquet(self, settings: WriterSettings) -> pq.ParquetWriter:
        return pq.ParquetWriter(
            self._sink,
            written_schema(self._schema),
            metadata_collector=self._footers,
            compression=settings.compression,
            compression_level=settings.compression_level if settings.compression == "zstd" else None,
            write_page_index=True,
            # Up to 18 digits are then plain integers: smaller, and faster to read.
            store_decimal_as_integer=True,
            store_schema=False,
        )

    def _complete(self) -> ObjectInfo:
        try:
            return self._sink.upload.complete()
        except PreconditionFailedError:
            # Nobody else makes this key: the answer to our own first attempt was lost, and the store tried again.
            info = self._store.head(self._key)
            if info.size != self._sink.bytes:
                raise
            return info

    def _note_nans(self, table: pa.Table) -> None:
        for field, column in zip(self._schema, table.columns, strict=True):
            is_known = not pa.types.is_floating(field.type) or field_id(field) in self._nan_columns
            if not is_known and pc.any(pc.is_nan(column)).as_py():
                self._nan_columns.add(field_id(field))


class _UploadFile:
    """The part of a file that Arrow's writer needs, over an upload."""

    closed = False

    def __init__(self, upload: Upload) -> None:
        self.upload = upload
        self.bytes = 0
        self._discarded = False

    def write(self, data: bytes) -> int:
        # Arrow finishes its file even when it is thrown away.
        if not self._discarded:
            self.upload.write(data)
            self.bytes += len(data)
        return len(data)

    def flush(self) -> None: ...

    def discard(self) -> None:
        self._discarded = True
        self.upload.abort()
