"""Where an S3 server is and who we are to it: from the lake's settings, a secrets file and the standard environment.

A secrets file is TOML. ``[s3]`` holds for every lake, ``[lakes.NAME]`` for one::

    [s3]
    access_key_id = "…"
    secret_access_key = "…"
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from .errors import ErrorKind, LakehouseError
from .settings import LakeSettings, S3Credentials


@dataclass(frozen=True, slots=True)
class S3Access:
    """How to reach an S3 server.

    Attributes:
        endpoint: URL of the server, which is then addressed by path; None means AWS.
        credentials: None means boto3's own chain (profile, role of the machine).
    """

    endpoint: str | None = None
    region: str = "us-east-1"
    credentials: S3Credentials | None = None


def find_access(name: str, lake: LakeSettings, secrets: Path | None, environ: Mapping[str, str]) -> S3Access:
    """Settle how the lake called ``name`` is reached: its settings, then the secrets file, then the environment.

    Raises:
        LakehouseError: ``invalid_secrets_file``, if the file cannot be read or says something else.
    """
    return S3Access(
        endpoint=lake.endpoint or environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or None,
        region=lake.region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        credentials=(_from_file(name, secrets) if secrets else None) or _from_environment(environ),
    )


def _from_environment(environ: Mapping[str, str]) -> S3Credentials | None:
    key, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    if not key or not secret:
        return None
    token = environ.get("AWS_SESSION_TOKEN")
    return S3Credentials(
        access_key_id=key, secret_access_key=SecretStr(secret), session_token=SecretStr(token) if token else None
    )


def _from_file(name: str, path: Path) -> S3Credentials | None:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _invalid(f"it cannot be read ({error.strerror})") from error
    except ValueError:  # its text would show a line of the file
        raise _invalid("it is not TOML") from None
    if unknown := content.keys() - {"s3", "lakes"}:
        raise _invalid(f"it may hold [s3] and [lakes.NAME], not {min(unknown)!r}")
    section = _section(content, "lakes").get(name, _section(content, "s3"))
    if not section:
        return None
    try:
        return S3Credentials.model_validate(section)
    except ValidationError as error:
        fields = ", ".join(sorted({str(part) for line in error.errors() for part in line["loc"][:1]}))
        raise _invalid(f"access_key_id, secret_access_key and session_token are read; look at: {fields}") from None


def _section(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = content.get(name, {})
    if not isinstance(section, dict):
        raise _invalid(f"{name!r} must be a table")
    return section


def _invalid(reason: str) -> LakehouseError:
    return LakehouseError(
        ErrorKind.INVALID_ARGUMENT, "invalid_secrets_file", f"The secrets file is not usable: {reason}."
    )
