"""The face of the lakehouse: the command line, and `connect` for Python users."""

from clients import connect, connect_adbc

__all__ = ["connect", "connect_adbc"]
