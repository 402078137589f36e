"""All settings of a server: the sections of ``lakehouse.toml``, each from the package that it configures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from catalog import (
    CacheSettings,
    CommitSettings,
    LakehouseError,
    LakeSettings,
    StoreSettings,
    WriterSettings,
    check_lake_name,
)
from flight_server import EngineSettings, FlightSettings, SessionSettings
from http_shim import HttpSettings

DEFAULT_LAKE = "lake"
DEFAULT_LAKE_PATH = Path("lake-data")


def place(lake: LakeSettings) -> str:
    """Return where a lake is: its folder, or ``s3://BUCKET/PREFIX``."""
    if lake.path is not None:
        return str(lake.path.absolute())
    return f"s3://{lake.bucket}/{lake.prefix}".rstrip("/")


class SecretsSettings(BaseModel):
    """Where secrets are kept; never in this file itself. ``[secrets]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Path | None = Field(default=None, description="TOML file with the keys to the lakes' buckets.")


class LogSettings(BaseModel):
    """What is logged, on standard error. ``[log]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level to log.")


class ServeSettings(BaseModel):
    """How the two server processes are started and stopped. ``[serve]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start_seconds: float = Field(default=60.0, gt=0, description="A server process that does not answer by then fails.")
    stop_seconds: float = Field(
        default=120.0,
        gt=0,
        description="A server process that still runs this long after it was asked to stop is killed.",
    )


class Settings(BaseModel):
    """The whole ``lakehouse.toml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lakes: dict[str, LakeSettings] = Field(
        default_factory=lambda: {DEFAULT_LAKE: LakeSettings(path=DEFAULT_LAKE_PATH)}, min_length=1
    )
    flight: FlightSettings = FlightSettings()
    http: HttpSettings = HttpSettings()
    engine: EngineSettings = EngineSettings()
    sessions: SessionSettings = SessionSettings()
    commit: CommitSettings = CommitSettings()
    writer: WriterSettings = WriterSettings()
    store: StoreSettings = StoreSettings()
    cache: CacheSettings = CacheSettings()
    secrets: SecretsSettings = SecretsSettings()
    serve: ServeSettings = ServeSettings()
    log: LogSettings = LogSettings()

    @field_validator("lakes")
    @classmethod
    def _names_can_be_used_in_sql(cls, lakes: dict[str, LakeSettings]) -> dict[str, LakeSettings]:
        for name in lakes:
            try:
                check_lake_name(name)
            except LakehouseError as error:
                raise ValueError(error.message) from error
        return lakes


def sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield (heading, model) of every section, ``[lakes.NAME]`` first."""
    for name, field in Settings.model_fields.items():
        if name == "lakes":
            yield f"lakes.{DEFAULT_LAKE}", get_args(field.annotation)[-1]
        else:
            assert isinstance(field.annotation, type)
            yield name, field.annotation
