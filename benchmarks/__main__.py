"""``python -m benchmarks``: measure all claims, or some, and write the pages."""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

from . import acceptance, http_files, memory, read_table, small_queries, tpch_queries, write_table
from .harness import Finding
from .lab import Lab, lab
from .report import baseline_page, benchmarks_page, machine_facts

ROOT = Path(__file__).parent.parent
CLAIMS: dict[str, Callable[[Lab], list[Finding]]] = {
    "memory": memory.measure,
    "read": read_table.measure,
    "write": write_table.measure,
    "tpch": tpch_queries.measure,
    "small": small_queries.measure,
    "http": http_files.measure,
}
BASELINE = "baseline"


def main() -> int:
    """Measure and write; return the exit code: 1 if something could not be measured."""
    options = _options()
    chosen = options.claims or [BASELINE, *CLAIMS]
    load_before = os.getloadavg()[0]
    findings: list[Finding] = []
    failures: list[str] = []
    run = None
    with lab(
        ROOT / "build" / "benchmarks",
        scale=options.scale,
        workers=options.workers,
        rounds=options.rounds,
        full=options.full,
    ) as place:
        for name in chosen:
            began = time.perf_counter()
            print(f"== {name}", flush=True)
            try:
                if name == BASELINE:
                    run = acceptance.run(place)
                else:
                    found = CLAIMS[name](place)
                    findings += found
                    _print(found)
            except Exception as error:  # noqa: BLE001 the other claims are still worth measuring
                failures.append(f"{name}: {type(error).__name__}: {error}")
                print(f"   FAILED {failures[-1]}", flush=True)
            print(f"   {time.perf_counter() - began:.0f} s", flush=True)
        facts = machine_facts(load_before, os.getloadavg()[0])
        if findings:
            _write(options.output / "benchmarks.md", benchmarks_page(findings, failures, place, facts))
        if run is not None:
            _write(options.output / "baseline.md", baseline_page(run, facts))
    return 1 if failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help=f"some of {', '.join([BASELINE, *CLAIMS])}; all")
    parser.add_argument("--full", action="store_true", help="10 GB in and out where memory is measured, not 1 GB")
    parser.add_argument("--scale", type=float, default=1.0, help="TPC-H scale factor (%(default)s)")
    parser.add_argument("--workers", type=int, default=500_000, help="rows of the CSV file (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant (%(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "docs", help="folder for the two pages (docs)")
    options = parser.parse_args()
    unknown = set(options.claims) - {BASELINE, *CLAIMS}
    if unknown:
        parser.error(f"unknown claims: {', '.join(sorted(unknown))}")
    return options


def _print(findings: list[Finding]) -> None:
    for finding in findings:
        mark = f"   [{finding.target.show()}]" if finding.target else ""
        print(f"   {finding.what}: {finding.value.show()}{mark}", flush=True)
        print(f"      {finding.ours}; {finding.against}: {finding.theirs}", flush=True)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    print(f"wrote {path.name}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
