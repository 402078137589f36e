"""Compressed uploads, decoded as they are read and stopped before they fill anything."""

import io
import tempfile
from enum import Enum
from http import HTTPStatus
from typing import Any

import pyarrow as pa

from .body_range import BodyRange
from .errors import HttpProblem
from .settings import HttpSettings

_RATIO_FROM_BYTES = 10 << 20
"""Below this much decoded data any ratio is fine: small texts compress well."""

_COPY_BYTES = 1 << 20


class Compression(Enum):
    """How an upload is compressed; the value is Arrow's name of it."""

    NONE = None
    GZIP = "gzip"
    ZSTD = "zstd"


class DecodedFile(io.RawIOBase):
    """The decoded bytes of an upload, from the beginning, in one pass.

    Raises:
        HttpProblem: 413 when it grows beyond the limits, 400 when it is no such compressed file; from `read`.
    """

    def __init__(self, source: BodyRange, compression: Compression, settings: HttpSettings) -> None:
        super().__init__()
        self._source = source.reopen()
        self._settings = settings
        self._compression = compression
        self._decoded_bytes = 0
        self._stream: Any = self._source
        if compression is not Compression.NONE:
            self._stream = pa.CompressedInputStream(pa.PythonFile(self._source, mode="r"), compression.value)

    def readable(self) -> bool:
        """Say yes."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to ``size`` decoded bytes; nothing at the end."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(_COPY_BYTES), b""))
        try:
            data: bytes = self._stream.read(size)
        except OSError as error:
            name = self._compression.value
            raise HttpProblem(
                HTTPStatus.BAD_REQUEST, "malformed_compression", f"the upload is no whole {name} file: {error}"
            ) from None
        self._decoded_bytes += len(data)
        if self._compression is not Compression.NONE:
            self._check_size()
        return data

    def _check_size(self) -> None:
        limits = self._settings
        too_dense = self._decoded_bytes > max(_RATIO_FROM_BYTES, limits.max_compression_ratio * self._source.tell())
        if too_dense or self._decoded_bytes > limits.max_decoded_bytes:
            raise HttpProblem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "decoded_body_too_large",
                f"the upload decodes to more than {limits.max_decoded_bytes} bytes, or to more than"
                f" {limits.max_compression_ratio} times its size",
            )


def random_access(source: BodyRange, compression: Compression, settings: HttpSettings) -> Any:
    """Return a file that can be read at any place, for formats that need it; the caller closes it."""
    if compression is Compression.NONE:
        return source.reopen()
    decoded = DecodedFile(source, compression, settings)
    spool = tempfile.TemporaryFile(dir=settings.spool_directory)  # noqa: SIM115 (the caller closes it)
    try:
        while data := decoded.read(_COPY_BYTES):
            spool.write(data)
    except BaseException:
        spool.close()
        raise
    spool.seek(0)
    return spool
