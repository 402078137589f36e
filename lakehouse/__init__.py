"""The face of the lakehouse: the command line, and `connect` for Python users."""

from clients import connect

__all__ = ["connect"]
