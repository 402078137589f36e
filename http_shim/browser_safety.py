"""What keeps web pages away from a server without passwords on the user's own machine.

A page may send requests to 127.0.0.1 without asking anybody. Two checks stop it: the Host header must name us (a page
that points its own name at 127.0.0.1 sends its own name), and a request that may write must not come from another origin.
"""

import ipaddress
from http import HTTPStatus
from urllib.parse import urlsplit

from flask import Flask, request

from .errors import HttpProblem
from .settings import HttpSettings

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def is_loopback(host: str) -> bool:
    """Tell whether an address to listen on can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def install_browser_safety(app: Flask, settings: HttpSettings) -> None:
    """Refuse requests that a foreign web page sent through the user's browser."""
    checks_host = is_loopback(settings.host) or bool(settings.allowed_hosts)
    hosts = _LOOPBACK_NAMES | {settings.host.strip("[]").lower()} | {name.lower() for name in settings.allowed_hosts}

    def check() -> None:
        if checks_host and _host_name(request.host) not in hosts:
            raise HttpProblem(
                HTTPStatus.FORBIDDEN, "host_not_allowed", "this server does not go by that Host; see http.allowed_hosts"
            )
        if request.method not in _SAFE_METHODS and _is_foreign(settings.allowed_origins):
            raise HttpProblem(
                HTTPStatus.FORBIDDEN, "cross_origin", "pages of other origins may not write; see http.allowed_origins"
            )

    app.before_request(check)


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_foreign(allowed_origins: tuple[str, ...]) -> bool:
    origin = request.headers.get("Origin")
    if origin is None:
        return request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}
    return origin not in {f"{request.scheme}://{request.host}", *allowed_origins}
