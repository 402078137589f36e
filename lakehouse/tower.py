"""One server process: Flight or HTTP, from its settings until it is asked to stop."""

import logging
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from .compose import Tower

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def configure_logging(level: str) -> None:
    """Log to standard error."""
    logging.basicConfig(stream=sys.stderr, level=level.upper(), format=LOG_FORMAT)


def run_tower(open_tower: Callable[[], Tower], announce: Callable[[str], None]) -> None:
    """Open a server, announce its address, and drain and close it when SIGTERM or SIGINT arrives.

    A signal during the start takes effect when the start is through.
    """
    asked = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        asked.set()

    for number in SIGNALS:
        signal.signal(number, ask)
    tower = open_tower()
    try:
        announce(tower.address)
        asked.wait()
    finally:
        tower.close()
