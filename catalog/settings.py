"""Every limit and choice of the catalog, with its default. ``lakehouse.toml`` is made of these."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

MIB = 1024 * 1024
GIB = 1024 * MIB


class Settings(BaseModel):
    """Base of all settings: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LakeSettings(Settings):
    """Where one lake lives: a local folder or a bucket. ``[lakes.NAME]``."""

    path: Path | None = Field(default=None, description="Folder of a local lake.")
    bucket: str | None = Field(default=None, min_length=3, description="Bucket of a lake on S3.")
    prefix: str = Field(default="", description="What every key of the lake begins with inside its bucket.")
    endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="URL of the S3 server. Default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, then AWS itself.",
    )
    region: str | None = Field(
        default=None,
        description="Region that requests are signed for. Default: AWS_REGION, AWS_DEFAULT_REGION, then us-east-1.",
    )
    single_writer: bool = Field(
        default=False, description="Accept a store that ignores conditional writes: only this one server may write."
    )

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if (self.path is None) == (self.bucket is None):
            raise ValueError("a lake needs either path or bucket")
        if self.path is not None and (self.prefix or self.endpoint):
            raise ValueError("prefix and endpoint belong to a lake with a bucket")
        return self


class StoreSettings(Settings):
    """How the object store is talked to. ``[store]``."""

    connect_timeout_seconds: float = Field(default=3.0, gt=0, description="Limit on opening one connection.")
    read_timeout_seconds: float = Field(default=20.0, gt=0, description="Limit on waiting for bytes of an answer.")
    attempts: int = Field(
        default=3, ge=1, description="Attempts of a read or an upload; a conditional put is always sent once."
    )
    part_bytes: int = Field(
        default=16 * MIB, ge=5 * MIB, le=5 * GIB, description="Size of one part of a multipart upload."
    )
    max_connections: int = Field(default=32, ge=1, description="Open connections to the store per lake.")
    upload_concurrency: int = Field(
        default=4, ge=1, description="Parts in flight per lake; each open upload holds one more in memory."
    )
    list_page_keys: int = Field(default=1000, ge=1, le=1000, description="Keys per page of a listing.")
    lock_timeout_seconds: float = Field(
        default=10.0, gt=0, description="Limit on waiting for another process that replaces an object of a local lake."
    )


class CommitSettings(Settings):
    """How long and how often a commit is tried, and what a manifest remembers. ``[commit]``."""

    deadline_seconds: float = Field(default=30.0, gt=0, description="A commit not settled by then is reported unknown.")
    attempts: int = Field(default=100, ge=1, description="Attempts to replace the root before a commit gives up.")
    backoff_initial_seconds: float = Field(default=0.02, gt=0, description="Upper bound of the first pause.")
    backoff_max_seconds: float = Field(default=2.0, gt=0, description="Upper bound of any pause.")
    group_commits: int = Field(default=256, ge=1, description="Commits that share one replacement of the root.")
    log_entries: int = Field(default=1000, ge=1, description="Newest commits that a manifest lists.")
    ingest_keys: int = Field(default=1000, ge=1, description="Newest idempotency keys that a dataset remembers.")
    ingest_key_seconds: int = Field(default=86_400, ge=0, description="Age at which an idempotency key is forgotten.")
    producers: int = Field(default=1000, ge=1, description="Most recent producers whose sequence number is remembered.")


class WriterSettings(Settings):
    """How rows become Parquet objects. ``[writer]``."""

    object_bytes: int = Field(
        default=64 * MIB,
        ge=MIB,
        description="Bytes in memory (Arrow) at which a data object is closed; an ingest holds this much per encoder, "
        "and once more, before its sender has to wait.",
    )
    row_group_rows: int = Field(default=1_000_000, ge=1, description="Rows at which a row group is closed.")
    compression: Literal["zstd", "snappy", "lz4", "none"] = Field(default="zstd", description="Codec of the pages.")
    compression_level: int = Field(default=1, ge=1, le=22, description="Level of zstd; other codecs ignore it.")
    threads: int = Field(default=0, ge=0, description="Encoders per ingest; 0 means one per core, at most 4.")
    max_columns: int = Field(default=2000, ge=1, description="Columns of a dataset.")
    max_nesting: int = Field(default=32, ge=1, description="Depth of nested types.")
    max_batch_bytes: int = Field(default=2 * GIB, ge=MIB, description="Bytes (Arrow) of one incoming record batch.")


class CacheSettings(Settings):
    """Cache of remote data objects. ``[cache]``."""

    directory: Path | None = Field(default=None, description="Folder for the file of cached blocks. Default: /var/tmp.")
    limit_bytes: int = Field(default=8 * GIB, ge=4096, description="Bytes that cached blocks may take on disk.")
    block_bytes: int = Field(default=MIB, ge=4096, description="Size of one block.")
    memory_bytes: int = Field(
        default=128 * MIB, ge=0, description="Bytes of small hot ranges (footers, indexes) that are kept in memory."
    )
    memory_range_bytes: int = Field(default=256 * 1024, ge=0, description="Size up to which a range counts as small.")


class S3Credentials(Settings):
    """A key to an S3 server. The secret parts never appear in a log, a repr or an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    access_key_id: str = Field(min_length=1)
    secret_access_key: SecretStr
    session_token: SecretStr | None = None
