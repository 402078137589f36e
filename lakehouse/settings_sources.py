"""Where settings come from: flags, then LAKEHOUSE_… variables, then a TOML file, then defaults.

Each value remembers its source until it is checked, so that an error can say which line of which place to change.
"""

import difflib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr, ValidationError

from .exits import CommandError, ExitCode
from .settings import DEFAULT_LAKE, Settings, sections

PREFIX = "LAKEHOUSE_"
DEFAULT_FILE = Path("lakehouse.toml")
CONFIG_VARIABLE = "LAKEHOUSE_CONFIG"
CLIENT_VARIABLES = ("LAKEHOUSE_FLIGHT_URI", "LAKEHOUSE_HTTP_URL")
"""Variables of the commands that talk to a running server; they are no settings of a server."""
FOREIGN_PREFIXES = ("LAKEHOUSE_TEST_",)

Values = dict[str, Any]
KeyPath = tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """One layer of values, nested as in the TOML file."""

    values: Values
    label: str
    is_environment: bool = False

    def spell(self, path: KeyPath) -> str:
        """Return a key the way that a user of this source writes it."""
        if self.is_environment:
            return PREFIX + "__".join(path).upper()
        *section, key = path
        return f"[{'.'.join(section)}] {key}" if section else key

    def has(self, path: KeyPath) -> bool:
        """Tell whether this source sets the key, or something below it."""
        value: Any = self.values
        for part in path:
            if not isinstance(value, dict) or part not in value:
                return False
            value = value[part]
        return True


def load_settings(
    flags: Values | None = None, config: Path | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """Return the settings of a server.

    Args:
        flags: values from the command line, nested as in the TOML file. ``lakes`` replaces all other lakes.
        config: the TOML file; without it ``$LAKEHOUSE_CONFIG``, then ``./lakehouse.toml`` if there is one.
        environment: the process's own by default.

    Raises:
        CommandError: a file cannot be read, a key is unknown or a value is wrong.
    """
    environment = os.environ if environment is None else environment
    sources = [
        Source(flags or {}, "command line"),
        Source(_environment_values(environment), "environment", is_environment=True),
        *_file_sources(config, environment),
    ]
    problems = [problem for source in sources for find in (_unknown_keys, _no_folders) for problem in find(source)]
    if problems:
        raise CommandError("\n".join(problems), ExitCode.USAGE)
    try:
        return Settings.model_validate(_merge(sources))
    except ValidationError as error:
        raise CommandError("\n".join(_invalid_values(error, sources)), ExitCode.USAGE) from error


def _environment_values(environment: Mapping[str, str]) -> Values:
    values: Values = {}
    for name in sorted(environment, reverse=True):  # a section before the same name as a plain value
        if not name.startswith(PREFIX) or name.startswith(FOREIGN_PREFIXES):
            continue
        if name == CONFIG_VARIABLE or name in CLIENT_VARIABLES:
            continue
        *sections, key = name.removeprefix(PREFIX).lower().split("__")
        target = values
        for section in sections:
            target = target.setdefault(section, {})
        target[key] = _value(environment[name])
    return values


def _value(text: str) -> Any:
    """Return a list written as in TOML as a list; anything else is turned into its type by its setting."""
    if text.startswith("["):
        with suppress(ValueError):
            return json.loads(text)
    return text


def _file_sources(config: Path | None, environment: Mapping[str, str]) -> list[Source]:
    if config is None and CONFIG_VARIABLE in environment:
        config = Path(environment[CONFIG_VARIABLE])
    if config is None and not DEFAULT_FILE.exists():
        return []
    return [Source(read_toml(config or DEFAULT_FILE), str(config or DEFAULT_FILE))]


def read_toml(path: Path) -> Values:
    """Return the content of a TOML file, or say in one sentence why it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{path}: cannot be read: {error.strerror}.", ExitCode.USAGE) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: is not TOML: {error}.", ExitCode.USAGE) from error


def _unknown_keys(source: Source) -> Iterator[str]:
    for path, known in _walk(Settings, source.values, ()):
        nearest = source.spell(_nearest(path, known))
        yield f"{source.label}: {source.spell(path)} is not a setting; the nearest one is {nearest}."


def _no_folders(source: Source) -> Iterator[str]:
    """Find the addresses that stand where a folder should; they would become folders of that name."""
    lakes = source.values.get("lakes")
    for name, lake in lakes.items() if isinstance(lakes, dict) else ():
        path = lake.get("path") if isinstance(lake, dict) else None
        if isinstance(path, str) and "://" in path:
            where = source.spell(("lakes", name, "path"))
            yield f"{source.label}: {where}: {path} is not a folder; a lake on S3 has a bucket and a prefix instead."


def _nearest(path: KeyPath, known: list[str]) -> KeyPath:
    """Return the known key most like this one: in its own section if one is like it, else anywhere."""
    key = path[-1]
    if close := difflib.get_close_matches(key, known, n=1):
        return (*path[:-1], close[0])
    everywhere = {name: (*section.split("."), name) for section, model in sections() for name in model.model_fields}
    return everywhere[difflib.get_close_matches(key, everywhere, n=1, cutoff=0.0)[0]]


def _walk(model: type[BaseModel], values: Values, path: KeyPath) -> Iterator[tuple[KeyPath, list[str]]]:
    for key, value in values.items():
        field = model.model_fields.get(key)
        if field is None:
            yield (*path, key), list(model.model_fields)
        elif not isinstance(value, dict):
            continue
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _walk(field.annotation, value, (*path, key))
        else:
            yield from _walk_named(get_args(field.annotation)[-1], value, (*path, key))


def _walk_named(model: type[BaseModel], named: Values, path: KeyPath) -> Iterator[tuple[KeyPath, list[str]]]:
    for name, value in named.items():
        if isinstance(value, dict):
            yield from _walk(model, value, (*path, name))


def _merge(sources: list[Source]) -> Values:
    merged: Values = {}
    for source in reversed(sources):
        if source.label == "command line" and "lakes" in source.values:
            merged.pop("lakes", None)
        _merge_into(merged, source.values)
    return merged


def _merge_into(target: Values, values: Values) -> None:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge_into(target[key], value)
        else:
            target[key] = dict(value) if isinstance(value, dict) else value


def _invalid_values(error: ValidationError, sources: list[Source]) -> Iterator[str]:
    for problem in error.errors():
        path = tuple(str(part) for part in problem["loc"])
        source = next((source for source in sources if source.has(path)), sources[-1])
        message = problem["msg"].removeprefix("Value error, ").rstrip(".")
        yield f"{source.label}: {source.spell(path)}: {message[0].lower()}{message[1:]}."


def settings_to_json(settings: Settings) -> str:
    """Return the settings with their secrets in one line; for a pipe to our own child, never for a log."""
    return json.dumps(settings.model_dump(), default=_plain)


def settings_from_json(text: bytes) -> Settings:
    """Return the settings that `settings_to_json` wrote."""
    return Settings.model_validate_json(text)


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def lake_flag(value: str) -> Values:
    """Return the settings of the only lake, from ``--lake PATH`` or ``--lake s3://BUCKET/PREFIX``."""
    if not value.startswith("s3://"):
        if "://" in value:
            raise CommandError(f"--lake {value}: is neither a folder nor s3://BUCKET/PREFIX.", ExitCode.USAGE)
        return {"lakes": {DEFAULT_LAKE: {"path": value}}}
    bucket, _, prefix = value.removeprefix("s3://").partition("/")
    return {"lakes": {DEFAULT_LAKE: {"bucket": bucket, "prefix": prefix.strip("/")}}}


def address_flag(section: str, value: str) -> Values:
    """Return host and port of a section, from ``HOST:PORT``, ``:PORT`` or ``[IPV6]:PORT``."""
    host, colon, port = value.rpartition(":")
    if not colon or not port.isdigit():
        raise CommandError(f"--{section} {value}: is not HOST:PORT.", ExitCode.USAGE)
    values: Values = {"port": int(port)}
    if host:
        values["host"] = host.strip("[]")
    return {section: values}
