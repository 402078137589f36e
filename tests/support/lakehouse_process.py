"""Real servers: ``lakehouse serve`` in processes of its own, started, stopped and killed as an operator would."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import adbc_driver_flightsql.dbapi as adbc
import pyarrow.flight as fl
from clean_answers import CleanHttp, keep_secret

COMMAND = Path(sys.executable).parent / "lakehouse"
STOP_SECONDS = 30


class LakehouseProcess:
    """A server on a lake. It can be ended in every way and started again on the same lake, on new free ports.

    Args:
        folder: where it runs and writes its log.
        lake: what ``--lake`` gets.
        settings: lakehouse.toml.
        environ: more variables, such as the keys to a bucket.
        wrapper: a command that runs the server's, such as one that limits it.
    """

    def __init__(
        self,
        folder: Path,
        lake: str,
        settings: str = "",
        environ: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.log = folder / "server.log"
        config = folder / "lakehouse.toml"
        config.write_text(settings)
        self._ready = folder / "ready.json"
        addresses = ["--flight", "127.0.0.1:0", "--http", "127.0.0.1:0", "--ready-file", str(self._ready)]
        self._command = [*wrapper, str(COMMAND), "serve", "--config", str(config), "--lake", lake, *addresses]
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LAKEHOUSE_"))}
        self._environ = outside | dict(environ or {})
        self._process: subprocess.Popen[str] | None = None
        keep_secret(str(folder))

    def start(self) -> "LakehouseProcess":
        """Start the server and wait until both towers answer."""
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self.folder, env=self._environ, stdout=subprocess.PIPE, stderr=log, text=True
            )
        lines = [self._process.stdout.readline() for _ in range(2)]
        assert all(lines), self.log.read_text()
        ready = json.loads(self._ready.read_text())
        self.flight: str = ready["flight"]
        self.http = CleanHttp(ready["http"])
        self.http_address: str = ready["http"]
        return self

    def terminate(self) -> int:
        """Ask the server to drain; return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End all its processes at once, as a power cut does."""
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for process in (pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """End the server, whatever it is doing, and check that it met nothing that it did not expect."""
        if self._process is not None:
            self._end(signal.SIGTERM)
        log = self.log.read_text()
        assert "internal error" not in log, log
        # An answer that has begun and cannot be finished is cut by an exception, which waitress logs.
        assert not re.findall(r"(?<!Exception while serving /v1/sql\n)Traceback", log), log

    def client(self) -> fl.FlightClient:
        """Connect a stock Flight client."""
        return fl.connect(self.flight)

    def adbc(self, *, autocommit: bool = True) -> adbc.Connection:
        """Connect a stock ADBC driver."""
        return adbc.connect(self.flight, autocommit=autocommit)

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        process.send_signal(number)
        try:
            process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        return process.returncode
