"""What the claims share: the data, a server on a folder and one on MinIO, DuckDB over the same objects."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from clients import connect
from lakehouse.sample_data import write_workers_csv

from .servers import BUCKET, Server, lakehouse, minio

TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")
MESSAGE_BYTES = 2 << 20


@dataclass
class Lab:
    """Where claims are measured. Everything is made when it is first asked for.

    Attributes:
        cache: folder for generated data, kept between runs.
        work: folder of this run.
        scale: TPC-H scale factor; 1 is 6 million rows of lineitem.
        workers: rows of the CSV file.
        rounds: how often each contestant runs.
        full: whether to do the long forms.
    """

    cache: Path
    work: Path
    scale: float
    workers: int
    rounds: int
    full: bool
    _open: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def tpch(self) -> Path:
        """The folder with one Parquet file per TPC-H table."""
        folder = self.cache / f"tpch-{self.scale:g}"
        if not folder.exists():
            draft = folder.with_name(folder.name + ".draft")
            shutil.rmtree(draft, ignore_errors=True)
            generator = Path(sys.executable).with_name("tpchgen-cli")
            arguments = ["parquet", "--scale-factor", f"{self.scale:g}", "--output-dir", str(draft), "--quiet"]
            subprocess.run([str(generator), *arguments], check=True)
            draft.rename(folder)
        return folder

    @cached_property
    def workers_csv(self) -> Path:
        """The CSV file of workers."""
        path = self.cache / f"workers-{self.workers}.csv"
        if not path.exists():
            write_workers_csv(path.with_suffix(".draft"), self.workers)
            path.with_suffix(".draft").rename(path)
        return path

    def table(self, name: str) -> pa.Table:
        """Return a TPC-H table in memory, in batches of one message, its text as plain utf8."""
        table = pq.read_table(self.tpch / f"{name}.parquet")
        plain = pa.schema(
            [one.with_type(pa.string()) if pa.types.is_string_view(one.type) else one for one in table.schema]
        )
        table = table.cast(plain.remove_metadata()).combine_chunks()
        rows = max(MESSAGE_BYTES * table.num_rows // max(table.nbytes, 1), 1)
        return pa.Table.from_batches(table.to_batches(rows), table.schema)

    @cached_property
    def lineitem(self) -> pa.Table:
        """The largest table."""
        return self.table("lineitem")

    @cached_property
    def local(self) -> Server:
        """A server on a folder, with all TPC-H tables and the workers in it."""
        return self._filled(self._open.enter_context(lakehouse(self.work / "lake")), TABLES)

    @cached_property
    def minio(self) -> Server:
        """A server on a bucket of a MinIO, with lineitem and the workers in it."""
        return self._filled(self._open.enter_context(lakehouse(f"s3://{BUCKET}/lake", self.bucket)), ["lineitem"])

    @cached_property
    def bucket(self) -> dict[str, str]:
        """The environment that reaches a MinIO with an empty bucket."""
        return self._open.enter_context(minio(self.work / "minio"))

    def duckdb(self, *names: str) -> duckdb.DuckDBPyConnection:
        """Return a DuckDB of this process, with views over the objects of datasets of the local server."""
        connection = duckdb.connect(":memory:")
        for setting in ("enable_progress_bar = false", "parquet_metadata_cache = true"):
            connection.execute(f"SET {setting}")
        for name in names:
            connection.read_parquet(self.objects(name)).create_view(name)
        return connection

    def objects(self, name: str) -> list[str]:
        """Return the files of a dataset's objects in the local lake."""
        assert self.local.lake is not None
        with connect(self.local.flight) as client:
            return [str(self.local.lake / one["key"]) for one in client.dataset(name)["objects"]]

    def _filled(self, server: Server, tables: Sequence[str]) -> Server:
        with connect(server.flight) as client:
            for name in tables:
                client.ingest(name, self.lineitem if name == "lineitem" else self.table(name))
        return server


@contextmanager
def lab(cache: Path, *, scale: float, workers: int, rounds: int, full: bool) -> Iterator[Lab]:
    """Give a lab whose servers are stopped, and whose lakes are removed, at the end."""
    cache = cache.resolve()  # servers run in other folders
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=cache) as work, ExitStack() as stack:
        yield Lab(cache, Path(work), scale, workers, rounds, full, stack)
