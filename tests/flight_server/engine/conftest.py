"""An engine over small lakes in memory, written by the real writer."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pyarrow as pa
import pytest

from catalog import (
    CommitSettings,
    DatasetName,
    DatasetWriter,
    DirectReader,
    Lake,
    MemoryStore,
    cast_batch,
    new_dataset_id,
    storable_schema,
)
from flight_server import DuckDBEngine, EngineSettings
from flight_server.engine import Scope


class CountingReader:
    """Reads objects and remembers which."""

    def __init__(self, store) -> None:
        self._reader = DirectReader(store)
        self.keys: set[str] = set()
        self.failure: Exception | None = None

    def read(self, key: str, etag: str, size: int, offset: int, length: int) -> bytes:
        if self.failure is not None:
            raise self.failure
        self.keys.add(key)
        return self._reader.read(key, etag, size, offset, length)


class SmallLake:
    """A lake that is filled table by table; each table becomes one data object."""

    def __init__(self, name: str) -> None:
        self.lake = Lake.open(name, MemoryStore(), commit=CommitSettings(), single_writer=True)
        self.reader = CountingReader(self.lake.store)

    def put(self, name: str, *tables: pa.Table, schema: str = "main") -> None:
        """Make a dataset of these tables' rows, replacing it if it exists."""
        snapshot = self.lake.snapshot()
        dataset_id, columns = new_dataset_id(), storable_schema(tables[0].schema)
        objects = []
        for table in tables:
            if table.num_rows:
                with DatasetWriter(self.lake.store, dataset_id, snapshot.epoch, columns) as writer:
                    for batch in table.to_batches():
                        writer.write(cast_batch(batch, columns))
                    objects.append(writer.close())
        transaction = self.lake.begin()
        if schema not in snapshot.schemas():
            transaction.create_schema(schema)
        rows = pa.concat_tables(objects) if objects else None
        target = DatasetName(schema, name)
        if self.lake.snapshot().find(target) is not None:
            transaction.drop(target)
        transaction.create(target, columns, objects=rows, dataset_id=dataset_id)
        transaction.commit()

    def drop(self, name: str) -> None:
        transaction = self.lake.begin()
        transaction.drop(DatasetName("main", name))
        transaction.commit()


class Querying:
    """An engine together with the lakes that its statements see."""

    def __init__(self, engine: DuckDBEngine, *lakes: SmallLake) -> None:
        self.engine = engine
        self.lakes = lakes

    def scope(self, catalog: str = "lake", schema: str = "main") -> Scope:
        return Scope(
            {each.lake.name: each.lake.snapshot() for each in self.lakes},
            {each.lake.name: each.reader for each in self.lakes},
            catalog,
            schema,
        )

    def __call__(self, sql: str, *values: object, text: str | None = None, **scope: str) -> pa.Table:
        """Run a query; check that the plan announced its schema and that every batch has it."""
        parameters = None
        if values:
            arrays = [value if isinstance(value, pa.Array) else pa.array([value]) for value in values]
            parameters = pa.record_batch(arrays, [str(number) for number in range(1, len(arrays) + 1)])
        seen = self.scope(**scope)
        plan = self.engine.plan(sql, parameters, seen, text=text)
        with self.engine.execute(sql, parameters, seen, text=text) as stream:
            assert stream.schema == plan.schema
            batches = list(stream)
        assert all(batch.schema.equals(plan.schema, check_metadata=True) for batch in batches)
        return pa.Table.from_batches(batches, plan.schema)

    def rows(self, sql: str, *values: object, **scope: str) -> list[tuple]:
        """Run a query and return its rows as tuples."""
        table = self(sql, *values, **scope)
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


@pytest.fixture
def lake() -> Iterator[SmallLake]:
    small = SmallLake("lake")
    yield small
    small.lake.close()


@pytest.fixture(scope="module")
def engines() -> Iterator[Callable[..., DuckDBEngine]]:
    """Make engines; one of each kind per module, for an engine is meant to be kept."""
    with ExitStack() as stack:
        made: dict[tuple, DuckDBEngine] = {}

        def make(**settings) -> DuckDBEngine:
            key = tuple(sorted(settings.items()))
            if key not in made:
                made[key] = DuckDBEngine(EngineSettings(**{"threads": 2, **settings}))
                stack.callback(made[key].close)
            return made[key]

        yield make


@pytest.fixture
def engine(engines) -> DuckDBEngine:
    return engines()


@pytest.fixture
def query(engine, lake) -> Querying:
    """Run SQL over one small lake with a dataset ``numbers`` (n, word; ten rows)."""
    lake.put("numbers", pa.table({"n": pa.array(range(10), pa.int64()), "word": [f"word {n}" for n in range(10)]}))
    return Querying(engine, lake)
