"""The address of a server, in any of the spellings that Flight clients use."""

from urllib.parse import parse_qs, urlsplit

from .errors import ErrorKind, LakehouseClientError

DEFAULT_PORT = 8815
DEFAULT_URI = f"grpc://127.0.0.1:{DEFAULT_PORT}"

_SCHEMES = {"grpc": "grpc", "grpc+tcp": "grpc", "grpc+tls": "grpc+tls", "flightsql": "grpc+tls"}
"""What pyarrow calls each scheme; ``flightsql``, which is ADBC's, means TLS unless ``transport=tcp`` follows."""


def flight_uri(address: str) -> str:
    """Return the address as pyarrow spells it; without a port, the server's default one is meant.

    Args:
        address: ``grpc://``, ``grpc+tcp://``, ``grpc+tls://`` or ``flightsql://HOST:PORT``, or only ``HOST:PORT``.

    Raises:
        LakehouseClientError: ``invalid_address``, if it is anything else.
    """
    try:
        parts = urlsplit(address if "://" in address else f"grpc://{address}")
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError:
        raise _invalid(address) from None
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not host or parts.path not in {"", "/"}:
        raise _invalid(address)
    if parts.scheme == "flightsql" and parse_qs(parts.query).get("transport") == ["tcp"]:
        scheme = "grpc"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _invalid(address: str) -> LakehouseClientError:
    message = f"{address}: is not a Flight address, such as {DEFAULT_URI}."
    return LakehouseClientError("invalid_address", message, ErrorKind.INVALID_ARGUMENT)
