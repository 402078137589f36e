"""The Handshake. Drivers log in with it even where nobody checks; the headers do the work, in ``middleware.py``."""

from typing import Any

import pyarrow.flight as fl


class OpenHandshake(fl.ServerAuthHandler):  # type: ignore[misc]
    """Answers every Handshake, with no message of its own."""

    def authenticate(self, outgoing: Any, incoming: Any) -> None:
        """Accept."""

    def is_valid(self, token: bytes) -> bytes:  # noqa: ARG002 (pyarrow's signature; the token is one of old clients)
        """Return the identity of the peer: none."""
        return b""
