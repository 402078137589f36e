"""A stock ADBC connection with the settings that this server is best used with."""

from collections.abc import Mapping
from typing import Any

import adbc_driver_flightsql.dbapi
from adbc_driver_flightsql import DatabaseOptions

MAX_MESSAGE_BYTES = (1 << 31) - 1
"""The driver stops at 16 MiB by default, and pandas and polars send a whole frame as one message."""


def connect_adbc(
    uri: str,
    *,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    autocommit: bool = True,
    options: Mapping[str, str] | None = None,
) -> Any:
    """Return a DBAPI connection of the ADBC Flight SQL driver.

    Args:
        uri: ``grpc://HOST:PORT``, ``grpc+tls://HOST:PORT`` or ``flightsql://HOST:PORT``.
        token: bearer token that goes with every call.
        headers: more headers that go with every call.
        autocommit: False begins a transaction with the first statement.
        options: more options of the driver's database; they win over ours.
    """
    settings = {DatabaseOptions.WITH_MAX_MSG_SIZE.value: str(MAX_MESSAGE_BYTES)}
    if token is not None:
        settings[DatabaseOptions.AUTHORIZATION_HEADER.value] = f"Bearer {token}"
    for name, value in (headers or {}).items():
        settings[f"{DatabaseOptions.RPC_CALL_HEADER_PREFIX.value}{name.lower()}"] = value
    settings.update(options or {})
    return adbc_driver_flightsql.dbapi.connect(uri, db_kwargs=settings, autocommit=autocommit)
