"""What a round trip costs: small queries one at a time and from many clients, against the same query in process."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count

import adbc_driver_flightsql.dbapi
import pyarrow.flight as fl

from clients import connect

from .harness import Finding, Spread, Target, take_turns
from .lab import Lab
from .servers import Server, bare_flight

MARK = Target(2.5, "ms", at_most=True)
REPETITIONS = 200
CLIENTS = 16
SECONDS_OF_LOAD = 4.0
LOOKUP = "SELECT * FROM orders WHERE o_orderkey = "


def measure(lab: Lab) -> list[Finding]:
    """Measure `SELECT 1` and point lookups on the local lake."""
    findings = []
    with ExitStack() as stack:
        client = stack.enter_context(connect(lab.local.flight))
        stock = stack.enter_context(adbc_driver_flightsql.dbapi.connect(lab.local.flight))
        baseline = stack.enter_context(lab.duckdb("orders"))
        keys = count(1)

        def key() -> int:
            return next(keys) * 32 % 1_000_000  # keys are sparse: most of these are there

        cases: list[tuple[str, Callable[[], object], Callable[[], object]]] = [
            (
                "`SELECT 1`",
                lambda: client.query("SELECT 1").to_table(),
                lambda: baseline.sql("SELECT 1").to_arrow_table(),
            ),
            (
                "point lookup, parameter",
                lambda: client.query(f"{LOOKUP}?", [key()]).to_table(),
                lambda: baseline.sql(f"{LOOKUP}?", params=[key()]).to_arrow_table(),
            ),
            (
                "point lookup, new text each time",
                lambda: client.query(f"{LOOKUP}{key()}").to_table(),
                lambda: baseline.sql(f"{LOOKUP}{key()}").to_arrow_table(),
            ),
        ]
        for what, ours, theirs in cases:
            findings.append(_latency(what, ours, theirs, MARK))
        findings.append(_latency("`SELECT 1`, stock ADBC", lambda: _adbc(stock), cases[0][2], None))
        findings.append(_throughput(lab.local, stack.enter_context(bare_flight(lab.table("region"), lab.work))))
    return findings


def _latency(what: str, ours: Callable[[], object], theirs: Callable[[], object], mark: Target | None) -> Finding:
    seconds = take_turns({"ours": ours, "theirs": theirs}, REPETITIONS, warmups=10)
    milliseconds = {name: [one * 1e3 for one in times] for name, times in seconds.items()}
    own, limit = (sorted(milliseconds[name]) for name in ("ours", "theirs"))
    added = own[len(own) // 2] - limit[len(limit) // 2]
    return Finding(
        f"{what}, p50",
        f"{own[len(own) // 2]:.2f} ms (p95 {own[len(own) * 95 // 100]:.2f})",
        "the same in process: ms above it",
        f"{limit[len(limit) // 2]:.2f} ms (p95 {limit[len(limit) * 95 // 100]:.2f})",
        Spread(added, added, added),
        mark,
    )


def _adbc(connection: adbc_driver_flightsql.dbapi.Connection) -> object:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return cursor.fetch_arrow_table()


def _throughput(server: Server, bare: str) -> Finding:
    """Ask from many clients at once, then ask a Flight server that does nothing in the same way."""
    ours = _load(server.flight, lambda client: _pair(client, b"SELECT 1"))
    theirs = _load(bare, lambda client: _pair(client, b"anything"))
    return Finding(
        f"`SELECT 1` from {CLIENTS} clients at once",
        f"{ours:,.0f} queries/s",
        "bare Flight server, 5 rows",
        f"{theirs:,.0f} queries/s",
        Spread(ours / theirs, ours / theirs, ours / theirs),
    )


def _pair(client: fl.FlightClient, command: bytes) -> None:
    information = client.get_flight_info(fl.FlightDescriptor.for_command(command))
    client.do_get(information.endpoints[0].ticket).read_all()


def _load(address: str, ask: Callable[[fl.FlightClient], None]) -> float:
    """Return the questions per second that all clients together get answered."""
    answered = [0] * CLIENTS
    start = threading.Barrier(CLIENTS + 1)
    stop = threading.Event()

    def run(number: int) -> None:
        with fl.FlightClient(address) as client:
            ask(client)
            start.wait()
            while not stop.is_set():
                ask(client)
                answered[number] += 1

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    stop.wait(SECONDS_OF_LOAD)
    stop.set()
    for thread in threads:
        thread.join()
    return sum(answered) / (time.perf_counter() - began)
