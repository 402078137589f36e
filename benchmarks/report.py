"""From findings to docs/benchmarks.md and docs/baseline.md."""

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from .acceptance import Acceptance
from .harness import Finding
from .lab import Lab

LIBRARIES = ("duckdb", "pyarrow", "adbc-driver-flightsql", "boto3", "waitress")

_BASELINE_HOW = """\
Written by `make bench`; do not edit. The acceptance run, once, on a server that has just started with an empty bucket of
MinIO: `workers_500k.csv` goes in as a form over HTTP, then each query is asked twice over HTTP."""

_HOW = """\
## How this is measured

- `make bench` writes this page and [the baseline](baseline.md); `make bench FULL=1` puts and gets 10 GB where the memory
  is measured, instead of 1 GB. Each claim is one file in `benchmarks/`.
- The server runs with its default settings, started by `lakehouse serve`, in its own processes; the client is another
  process on the same machine, so both share its cores. What DuckDB does "in process" it does inside that client.
- What is compared takes turns, round by round, after a warm-up. A time or a rate is the median of all rounds, with the
  least and the greatest in brackets. A ratio is made in each round, from neighbours in time; again the median is told.
  It can differ from the ratio of the two medians, most of all on a busy machine: where some rounds reach the mark and
  others do not, the last column says so.
- Ratios of throughput are ours ÷ theirs (more is better); the total of TPC-H is our time ÷ theirs (less is better).
- `lineitem` is TPC-H's, made by `tpchgen-cli`. The bare Flight server is pyarrow's, with the whole table in memory, in
  messages as large as ours (2 MiB). DuckDB reads the very objects that the server wrote, from the local folder, also
  where the server reads them from MinIO, and remembers their footers as the server does.
- `DoPut` ends when the commit is durable; `COPY … TO` ends when the file is written, without `fsync`.
- The many clients of the small queries are threads of one Python process, which limits both servers alike.
- Memory is the resident memory of all processes of the server, sampled every 50 ms, above what it was after one
  `SELECT 1`. Pages that processes share are counted in each.
"""


def benchmarks_page(findings: Sequence[Finding], failures: Sequence[str], lab: Lab, facts: str) -> str:
    """Return docs/benchmarks.md."""
    rows = [
        (
            finding.what,
            finding.ours,
            f"{finding.against}: {finding.theirs}",
            finding.value.show(0 if abs(finding.value.median) >= 100 else 2),
            finding.target.show() if finding.target else "",
            _verdict(finding),
        )
        for finding in findings
    ]
    marked = [finding for finding in findings if finding.target is not None]
    reached = sum(_verdict(finding).startswith("yes") for finding in marked)
    parts = [
        "# Benchmarks",
        f"Written by `make bench{' FULL=1' if lab.full else ''}`; do not edit. {reached} of {len(marked)} marks are reached.",
        facts,
        _table(("Work", "Server", "Against", "Value", "Mark", "Reached"), rows),
        *([f"Not measured:\n\n{_bullets(failures)}"] if failures else []),
        _HOW.rstrip(),
    ]
    return "\n\n".join(parts) + "\n"


def baseline_page(run: Acceptance, facts: str) -> str:
    """Return docs/baseline.md."""
    queries = [(f"`{sql}`", f"{first * 1e3:.1f}", f"{again * 1e3:.1f}") for sql, first, again in run.queries]
    total = sum(first for _, first, _ in run.queries)
    objects = [(str(number), f"{size:,}") for number, size in enumerate(run.object_bytes, 1)]
    totals = [
        ("ingest, from the first byte sent to the manifest", f"{run.ingest_seconds:.2f} s"),
        ("queries, first time", f"{total * 1e3:.0f} ms"),
        ("rows", f"{run.rows:,}"),
        ("CSV file", f"{run.csv_bytes:,} bytes"),
        ("Parquet objects", f"{sum(run.object_bytes):,} bytes in {len(run.object_bytes)}"),
        ("memory of the server's processes, idle", f"{run.idle_bytes / 1e6:,.0f} MB"),
        ("the same, at its peak", f"{run.peak_bytes / 1e6:,.0f} MB"),
        ("processor time of the server", f"{run.cpu_seconds:.2f} s"),
    ]
    parts = [
        "# Baseline",
        _BASELINE_HOW,
        facts,
        _table(("What", "How much"), totals),
        _table(("Query", "First, ms", "Again, ms"), queries),
        _table(("Object", "Bytes"), objects),
    ]
    return "\n\n".join(parts) + "\n"


def machine_facts(load_before: float, load_after: float) -> str:
    """Describe the machine and the versions as a list."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return _bullets(
        [
            f"{os.cpu_count()} cores ({platform.machine()}), {memory / 2**30:.0f} GiB of memory, {platform.system()}",
            f"Python {platform.python_version()}, {libraries}",
            f"{datetime.now(UTC):%Y-%m-%d}; load average {load_before:.1f} before the run, {load_after:.1f} after it",
        ]
    )


def _verdict(finding: Finding) -> str:
    if finding.target is None:
        return ""
    reached, *extremes = map(
        finding.target.reached_by, (finding.value.median, finding.value.least, finding.value.greatest)
    )
    word = "yes" if reached else "**no**"
    return word if set(extremes) == {reached} else f"{word} (rounds differ)"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
