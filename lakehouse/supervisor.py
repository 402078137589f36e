"""The parent of the two server processes: starts them, says when both answer, and stops them together.

A pipe to each child carries its settings first and then stays open: when the parent dies, however it dies, the child
reads the end of the pipe and stops too.
"""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from clients import LakehouseClientError, connect

from .exits import CommandError, ExitCode
from .ready_file import ReadyFile
from .settings import Settings, place
from .settings_sources import settings_to_json

SIGNALS = (signal.SIGINT, signal.SIGTERM)
COUNTING_SECONDS = 10.0
"""How long the start waits to learn how many datasets a lake has."""
READY = "ready "
"""A child says this, then its address, on its standard output."""
ALLOCATORS = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"}
"""Environment of the children, unless it says otherwise. Record batches come and go on many threads: with few arenas and
one allocator, freed memory is used again instead of being kept once per thread, which costs less time, too."""


@dataclass(frozen=True)
class Answers:
    """A child is ready at an address."""

    tower: str
    address: str


@dataclass(frozen=True)
class Ended:
    """A child has exited; negative codes are signals."""

    tower: str
    code: int


@dataclass(frozen=True)
class Asked:
    """Somebody asked the parent to stop."""


Event = Answers | Ended | Asked


class Child:
    """One server process. What happens to it is put into the queue of events."""

    def __init__(self, tower: str, settings: Settings, events: queue.SimpleQueue[Event], *arguments: str) -> None:
        self.tower = tower
        command = [sys.executable, "-m", "lakehouse", "serve", "--only", tower, "--supervised", *arguments]
        # Its own process group: Ctrl-C reaches the parent alone, which stops the children in order.
        self._process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
            env={**ALLOCATORS, **os.environ},
        )
        self._hand_over(settings_to_json(settings))
        threading.Thread(target=self._watch, args=(events,), daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Ask the process to drain and exit."""
        self._process.terminate()

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def _hand_over(self, settings: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(settings + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # it has already ended, and the watcher says so

    def _watch(self, events: queue.SimpleQueue[Event]) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(READY):
                events.put(Answers(self.tower, line.removeprefix(READY).strip()))
        events.put(Ended(self.tower, self._process.wait()))


class Supervisor:
    """Run both towers until asked to stop.

    Args:
        settings: handed to both children.
        ready_file: where the addresses are written when both answer.
    """

    def __init__(self, settings: Settings, ready_file: Path | None = None) -> None:
        self._settings = settings
        self._ready_file = ReadyFile(ready_file)
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._children: list[Child] = []

    def run(self) -> ExitCode:
        """Start both towers, wait for a signal or a failure, stop both; return how the process should exit."""
        before = {number: signal.signal(number, self._ask_to_stop) for number in SIGNALS}
        try:
            code = self._serve()
        finally:
            self._stop()
            self._ready_file.remove()
            for number, handler in before.items():
                signal.signal(number, handler)
        if code is ExitCode.OK:
            sys.stderr.write("Stopped.\n")  # whoever read the addresses may have gone
        return code

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._events.put(Asked())

    def _serve(self) -> ExitCode:
        flight = self._start("flight")
        if isinstance(flight, ExitCode):
            return flight
        http = self._start("http", "--flight-uri", flight)
        if isinstance(http, ExitCode):
            return http
        self._ready_file.write(flight=flight, http=http)
        lakes = "".join(f"Lake    {line}\n" for line in self._lakes(flight))
        sys.stdout.write(f"{lakes}Flight  {flight}\nHTTP    {http}\nCtrl-C stops it; the data stays.\n")
        sys.stdout.flush()
        event = self._events.get()
        if isinstance(event, Ended):
            raise CommandError(f"The {event.tower} server {_how_it_ended(event.code)}; the other one was stopped too.")
        return ExitCode.OK

    def _lakes(self, flight: str) -> Iterator[str]:
        """Say of each lake where it is and what it holds."""
        with connect(flight, timeout_seconds=COUNTING_SECONDS) as client:
            for name, lake in self._settings.lakes.items():
                held = ""
                with suppress(LakehouseClientError):
                    count = len(client.datasets(lake=name))
                    held = f" ({count:,} dataset{'s' * (count != 1)})" if count else " (new)"
                yield f"{name}: {place(lake)}{held}"

    def _start(self, tower: str, *arguments: str) -> str | ExitCode:
        """Return the address of a new child, or how to exit if it does not come up."""
        limit = self._settings.serve.start_seconds
        self._children.append(Child(tower, self._settings, self._events, *arguments))
        try:
            event = self._events.get(timeout=limit)
        except queue.Empty:
            raise CommandError(f"The {tower} server did not answer within {limit:g} seconds.") from None
        match event:
            case Answers():
                return event.address
            case Asked():
                return ExitCode.OK
            case Ended(code=code) if event.tower == tower and code in set(ExitCode):
                return ExitCode(code)  # it has said why
            case Ended():
                raise CommandError(f"The {event.tower} server {_how_it_ended(event.code)} while starting.")

    def _stop(self) -> None:
        """Drain the children, HTTP first because it asks Flight; kill what is left after the limit or a second signal."""
        deadline = time.monotonic() + self._settings.serve.stop_seconds
        for child in reversed(self._children):
            if child.runs:
                child.stop()
                self._await_end(child, deadline)

    def _await_end(self, child: Child, deadline: float) -> None:
        while child.runs:
            try:
                event = self._events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                sys.stderr.write(f"The {child.tower} server did not finish in time and was killed.\n")
                child.kill()
                return
            if isinstance(event, Asked):
                child.kill()
            elif isinstance(event, Ended) and event.tower == child.tower:
                return


def _how_it_ended(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def watch_parent(stdin: int) -> None:
    """End this process in the orderly way when the parent's end of the pipe is closed."""

    def wait() -> None:
        while os.read(stdin, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True, name="parent-watch").start()
