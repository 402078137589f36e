"""The Flight and Flight SQL server."""
