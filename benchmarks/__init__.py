"""Speed and memory, measured: `make bench` writes docs/benchmarks.md and docs/baseline.md.

One file per claim. Each measures the server, started by its command line, against the physical limit in the same run: the
same work without a server, or a server that does nothing else. Nothing here asserts: a test that depends on a clock fails
on a busy machine.
"""
