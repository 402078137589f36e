"""The commands about a server of one's own: serve, check-store, config."""

import functools
import ipaddress
import json
import os
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from catalog import LakehouseError, probe_conditional_writes

from .compose import FlightTower, HttpTower, of_lake, open_stores
from .exits import CommandError, ExitCode
from .output import stderr, stdout
from .ready_file import ReadyFile
from .settings import Settings
from .settings_pages import toml_file
from .settings_sources import address_flag, lake_flag, load_settings, settings_from_json
from .supervisor import READY, Supervisor, watch_parent
from .tower import configure_logging, run_tower


class Only(Enum):
    """Which of the two servers."""

    FLIGHT = "flight"
    HTTP = "http"


LABELS = {Only.FLIGHT: "Flight", Only.HTTP: "HTTP"}
Config = Annotated[Path | None, typer.Option(help="Settings file; by default ./lakehouse.toml if there is one.")]
LakeFlag = Annotated[str | None, typer.Option("--lake", metavar="PATH|s3://BUCKET/PREFIX", help="The only lake.")]
Address = Annotated[str | None, typer.Option(metavar="HOST:PORT")]


def serve(  # noqa: PLR0913, PLR0917 (each flag is a parameter)
    config: Config = None,
    lake: LakeFlag = None,
    flight: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Flight address; port 0 is a free one.")
    ] = None,
    http: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="HTTP address; port 0 is a free one.")] = None,
    only: Annotated[
        Only | None, typer.Option(help="Run one server; HTTP then asks the Flight server at --flight.")
    ] = None,
    ready_file: Annotated[
        Path | None, typer.Option(help="Where to write the addresses as JSON when both answer.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", metavar="", help="Listen beyond this machine without authentication.")
    ] = False,
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
    flight_uri: Annotated[str | None, typer.Option("--flight-uri", hidden=True)] = None,
) -> None:
    """Serve a lake over Flight and HTTP until SIGTERM or Ctrl-C."""
    if supervised:
        settings = _handed_over()
    else:
        settings = load_settings(_flags(lake, flight, http), config)
        _refuse_to_be_public(settings, only, insecure=insecure)
    if only is None:
        raise typer.Exit(Supervisor(settings, _writable(ready_file)).run())
    configure_logging(settings.log.level)
    _run_one(settings, only, ReadyFile(_writable(ready_file)), supervised=supervised, flight_uri=flight_uri)


def _handed_over() -> Settings:
    with open(0, "rb", buffering=0, closefd=False) as pipe:
        settings = settings_from_json(pipe.readline())
    watch_parent(0)
    return settings


def _run_one(settings: Settings, only: Only, ready: ReadyFile, *, supervised: bool, flight_uri: str | None) -> None:
    def announce(address: str) -> None:
        ready.write(**{only.value: address})
        sys.stdout.write(f"{READY}{address}\n" if supervised else f"{LABELS[only]:8}{address}\n")
        sys.stdout.flush()

    if only is Only.FLIGHT:
        run_tower(functools.partial(FlightTower, settings), announce)
    else:
        uri = flight_uri or f"grpc://{settings.flight.host}:{settings.flight.port}"
        run_tower(functools.partial(HttpTower, settings, uri), announce)
    ready.remove()


def _flags(lake: str | None, flight: str | None, http: str | None) -> dict[str, Any]:
    flags: dict[str, Any] = {}
    if lake is not None:
        flags |= lake_flag(lake)
    if flight is not None:
        flags |= address_flag("flight", flight)
    if http is not None:
        flags |= address_flag("http", http)
    return flags


def _refuse_to_be_public(settings: Settings, only: Only | None, *, insecure: bool) -> None:
    hosts = {"flight": settings.flight.host, "http": settings.http.host}
    for tower, host in hosts.items():
        if not insecure and only in {None, Only(tower)} and not _is_loopback(host):
            raise CommandError(
                f"There is no authentication yet, so {tower} listens on loopback only; --insecure allows {host}.",
                ExitCode.USAGE,
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _writable(path: Path | None) -> Path | None:
    if path is not None and not os.access(path.absolute().parent, os.W_OK):
        raise CommandError(f"--ready-file {path}: its folder cannot be written to.", ExitCode.USAGE)
    return path


def check_store(config: Config = None, lake: LakeFlag = None) -> None:
    """Check that the store of each lake can be reached and honours conditional writes."""
    settings = load_settings(_flags(lake, None, None), config)
    for name, store in open_stores(settings).items():
        try:
            probe_conditional_writes(store)
        except LakehouseError as error:
            raise of_lake(error, settings.lakes[name]) from error
        stdout.print(f"{name}: conditional writes are honoured, so any number of servers may write.")


config_commands = typer.Typer(help="Show and check the settings.", no_args_is_help=True)


@config_commands.command("show")
def config_show(config: Config = None, lake: LakeFlag = None) -> None:
    """Print the settings in force as JSON, without secrets."""
    settings = load_settings(_flags(lake, None, None), config)
    sys.stdout.write(json.dumps(settings.model_dump(mode="json"), indent=2) + "\n")


@config_commands.command("check")
def config_check(config: Config = None, lake: LakeFlag = None) -> None:
    """Check the settings without starting anything."""
    load_settings(_flags(lake, None, None), config)
    stderr.print("The settings are right.")


@config_commands.command("template")
def config_template() -> None:
    """Print a lakehouse.toml that lists every setting with its default."""
    sys.stdout.write(toml_file())
