"""Settings of the Flight server: the tables ``[flight]``, ``[sessions]`` and ``[engine]`` of lakehouse.toml."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr

_MIB = 1 << 20


class FlightSettings(BaseModel):
    """How the server listens, and what one call may cost: ``[flight]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8815, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    signing_key: SecretStr | None = Field(
        default=None,
        description="Secret that signs tickets and session tokens; share it between replicas. Default: a random one.",
    )
    ticket_seconds: float = Field(default=3600.0, gt=0, description="How long a ticket can be read.")
    handle_seconds: float = Field(default=86400.0, gt=0, description="How long a prepared statement can be used.")
    max_concurrent_uploads: int = Field(default=32, ge=1, description="Uploads (DoPut) that run at the same time.")
    cancellation_poll_seconds: float = Field(
        default=0.1, gt=0, description="How often running calls are asked whether their client has gone away."
    )
    drain_seconds: float = Field(
        default=10.0,
        gt=0,
        description="How long running calls may finish when the server stops, before it cancels them.",
    )
    max_parameter_bytes: int = Field(default=_MIB, ge=1024, description="Bytes of the parameters of one query.")
    max_update_parameter_bytes: int = Field(
        default=64 * _MIB, ge=1024, description="Bytes of all rows of parameters that one update is run with."
    )


class SessionSettings(BaseModel):
    """What the server remembers of its clients: ``[sessions]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_sessions: int = Field(default=10_000, ge=1, description="Sessions that are remembered at the same time.")
    idle_seconds: float = Field(
        default=3600.0, gt=0, description="An idle session ends after this, and its open transactions roll back."
    )
    max_transactions: int = Field(default=16, ge=1, description="Transactions that one session may have open.")
    max_options: int = Field(default=64, ge=1, description="Options that one session may have set.")
    max_option_bytes: int = Field(default=4096, ge=64, description="Bytes of the value of one session option.")


class EngineSettings(BaseModel):
    """What one query engine may use: ``[engine]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threads: int = Field(default=0, ge=0, description="Threads of each statement; 0 takes one for each core.")
    memory_bytes: int = Field(
        default=0, ge=0, description="Memory of all statements together; 0 takes half of the machine's."
    )
    spill_directory: Path | None = Field(default=None, description="Folder for spilling. Default: a temporary one.")
    spill_bytes: int = Field(default=16 * 1024 * _MIB, ge=0, description="Bytes that one statement may spill to disk.")
    statement_timeout_seconds: float = Field(
        default=300.0,
        gt=0,
        description="A statement stops when it has worked for longer; waiting readers do not count.",
    )
    stall_seconds: float = Field(
        default=300.0, gt=0, description="A result ends when nobody has read from it for so long."
    )
    crowded_stall_seconds: float = Field(
        default=10.0, gt=0, description="The same while other statements wait for their turn."
    )
    max_concurrent_statements: int = Field(default=16, ge=1, description="Statements that run at the same time.")
    max_queued_statements: int = Field(default=256, ge=0, description="Statements that wait for their turn.")
    queue_seconds: float = Field(default=30.0, ge=0, description="How long a statement waits for its turn.")
    max_sql_bytes: int = Field(default=4 * _MIB, ge=1024, description="Bytes of one statement's text.")
    message_bytes: int = Field(default=2 * _MIB, ge=65536, description="Bytes of one record batch on the wire.")
    max_row_message_bytes: int = Field(
        default=15 * _MIB,
        ge=65536,
        description="Bytes of a record batch that is a single row; a larger row is refused.",
    )
    max_listed_datasets: int = Field(
        default=10_000, ge=1, description="Datasets that the information schema can show in one statement."
    )
    prune_min_objects: int = Field(
        default=64, ge=2, description="Data objects of a dataset from which on statistics are asked which ones to skip."
    )
    plan_cache_entries: int = Field(default=1024, ge=0, description="Statements whose plans are remembered.")
