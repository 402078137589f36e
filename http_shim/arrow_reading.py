"""Arrow and Parquet files as record batches."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import pyarrow as pa
import pyarrow.parquet as pq

from .body_range import BodyRange
from .decoding import Compression, DecodedFile, random_access
from .errors import HttpProblem
from .settings import HttpSettings

_FILE_MAGIC = b"ARROW1"
_PARQUET_BATCH_ROWS = 1 << 16
_MALFORMED_CODES = {"arrow": "arrow_malformed", "parquet": "parquet_malformed"}


@contextmanager
def arrow_reader(
    content: BodyRange, compression: Compression, settings: HttpSettings
) -> Iterator[pa.RecordBatchReader]:
    """Yield the rows of an Arrow IPC stream or file."""
    is_file = DecodedFile(content, compression, settings).read(len(_FILE_MAGIC)) == _FILE_MAGIC
    if is_file:
        with random_access(content, compression, settings) as file, _malformed("arrow"):
            reader = pa.ipc.open_file(pa.PythonFile(file, mode="r"))
            batches = (reader.get_batch(position) for position in range(reader.num_record_batches))
            yield _limited(reader.schema, batches, "arrow", settings)
        return
    file = DecodedFile(content, compression, settings)
    with _malformed("arrow"):
        stream = pa.ipc.open_stream(pa.PythonFile(file, mode="r"))
    yield _limited(stream.schema, iter(stream), "arrow", settings)


@contextmanager
def parquet_reader(
    content: BodyRange, compression: Compression, settings: HttpSettings
) -> Iterator[pa.RecordBatchReader]:
    """Yield the rows of a Parquet file."""
    with random_access(content, compression, settings) as file:
        with _malformed("parquet"):
            parquet = pq.ParquetFile(pa.PythonFile(file, mode="r"))
            schema = parquet.schema_arrow
        yield _limited(schema, parquet.iter_batches(_PARQUET_BATCH_ROWS), "parquet", settings)


def _limited(
    schema: pa.Schema, batches: Iterator[pa.RecordBatch], file_format: str, settings: HttpSettings
) -> pa.RecordBatchReader:
    """Return the batches as a reader that stops a file which grows too much when it is decoded."""

    def checked() -> Iterator[pa.RecordBatch]:
        decoded_bytes = 0
        with _malformed(file_format):
            for batch in batches:
                batch.validate(full=True)  # before anything else looks at it: a malformed batch can end the process
                decoded_bytes += batch.nbytes
                if decoded_bytes > settings.max_decoded_bytes:
                    raise HttpProblem(
                        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                        "decoded_body_too_large",
                        f"the upload decodes to more than {settings.max_decoded_bytes} bytes",
                    )
                yield batch

    return pa.RecordBatchReader.from_batches(schema.remove_metadata(), checked())


@contextmanager
def _malformed(file_format: str) -> Iterator[None]:
    """Turn what Arrow says of a broken file into a problem, without its words: they may name our files."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, HttpProblem):
            raise
        raise HttpProblem(
            HTTPStatus.BAD_REQUEST, _MALFORMED_CODES[file_format], f"the upload is no whole {file_format.title()} file"
        ) from None
