"""Settings of the HTTP server: the table ``[http]`` of lakehouse.toml."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

_KIB = 1 << 10
_MIB = 1 << 20
_GIB = 1 << 30


class HttpSettings(BaseModel):
    """How the HTTP server listens, and what one request may cost: ``[http]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=3100, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="Names that the Host header may have, besides the loopback names. On an address that is not "
        "loopback, an empty list allows every name.",
    )
    allowed_origins: tuple[str, ...] = Field(
        default=(), description="Other web origins (https://example.org) whose pages may send requests that write."
    )

    threads: int = Field(default=32, ge=2, description="Requests that are answered at the same time.")
    max_connections: int = Field(default=256, ge=1, description="Connections that are open at the same time.")
    max_streams: int = Field(default=24, ge=1, description="Answers too long to hold that are sent at the same time.")
    channel_timeout_seconds: int = Field(default=30, ge=1, description="A connection without traffic closes after it.")
    linger_seconds: float = Field(
        default=5.0, ge=0, description="How long the rest of a refused body is read and dropped, so that a client that "
        "is still sending gets to read why."
    )  # fmt: skip

    drain_seconds: float = Field(
        default=10.0, ge=0, description="How long requests that have begun may go on at a stop."
    )

    max_header_bytes: int = Field(default=64 * _KIB, ge=1024, description="Bytes of a request's headers.")
    max_body_bytes: int = Field(default=2 * _GIB, ge=1, description="Bytes of an uploaded file as sent.")
    max_decoded_bytes: int = Field(default=16 * _GIB, ge=1, description="Bytes of an uploaded file after gzip or zstd.")
    max_compression_ratio: int = Field(
        default=100, ge=1, description="Decoded bytes for each byte sent, once 10 MiB are decoded."
    )
    max_sql_bytes: int = Field(default=4 * _MIB, ge=1, description="Bytes of the body of any other request.")
    max_json_array_bytes: int = Field(
        default=32 * _MIB, ge=1, description="Bytes of an upload that is one JSON array; NDJSON has no such limit."
    )
    max_columns: int = Field(default=2000, ge=1, description="Columns of an uploaded CSV file.")
    max_csv_line_bytes: int = Field(
        default=_MIB, ge=1024, description="Bytes of one row of a CSV or NDJSON file. Also the size of the blocks "
        "that are read, of which a few are in memory."
    )  # fmt: skip
    sample_rows: int = Field(default=1000, ge=1, description="Rows of a CSV file from which its types are inferred.")

    hold_bytes: int = Field(
        default=256 * _KIB, ge=1, description="An answer is held back until this much of it is there (or its first "
        "batch): until then an error still gets a status of its own."
    )  # fmt: skip
    send_buffer_bytes: int = Field(default=4 * _MIB, ge=_KIB, description="Answer that may wait for a slow reader.")
    max_table_rows: int = Field(default=1000, ge=1, description="Rows of an answer as a text table; the rest is cut.")
    max_result_file_bytes: int = Field(
        default=8 * _GIB, ge=1, description="Bytes of an answer in Parquet, which is a file before it is sent."
    )
    spool_directory: Path | None = Field(
        default=None, description="Folder for request bodies and Parquet answers. Default: the system's."
    )
    retry_after_seconds: int = Field(default=1, ge=0, description="Retry-After of answers that say to come back.")
