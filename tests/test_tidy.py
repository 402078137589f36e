"""The house rules that a program can check."""

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "catalog": set(),
    "clients": set(),
    "flight_server": {"catalog"},
    "http_shim": {"clients"},
    "lakehouse": {"catalog", "clients", "flight_server", "http_shim"},
}
HOMES = {
    "boto3": ("catalog/s3.py",),
    "botocore": ("catalog/s3.py",),
    "uuid6": ("catalog/",),
    "duckdb": ("flight_server/engine/",),
    "fsspec": ("flight_server/engine/",),
    "google.protobuf": ("flight_server/protocol.py",),
    "pyarrow.flight": ("flight_server/", "clients/", "lakehouse/demo.py"),
    "flask": ("http_shim/",),
    "werkzeug": ("http_shim/",),
    "waitress": ("http_shim/",),
    "typer": ("lakehouse/",),
    "rich": ("lakehouse/",),
    "adbc_driver_flightsql": ("clients/adbc.py", "lakehouse/demo.py"),
    "pandas": ("lakehouse/demo.py",),
    "polars": ("lakehouse/demo.py",),
}
"""One home per third-party library; whoever wants to replace one knows where to look."""
WITHOUT_FLIGHT = (
    "flight_server/catalog_actions.py",
    "flight_server/engine/",
    "flight_server/ingest.py",
    "flight_server/metadata.py",
    "flight_server/queries.py",
    "flight_server/statements.py",
    "flight_server/targets.py",
    "flight_server/transactions.py",
    "flight_server/updates.py",
)
LINES_OF_A_FILE = 350
LINES_OF_A_TEST_FILE = 700
LINES_OF_A_FUNCTION = 70

SOURCES = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
ALL = [*SOURCES, *TESTS, *sorted((ROOT / "benchmarks").rglob("*.py"))]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(path: Path) -> Iterator[tuple[str, str | None, int]]:
    """Yield (module, imported name, line) of every absolute import of a file."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.module or "", alias.name, node.lineno) for alias in node.names)


def test_imports_between_packages_run_one_way():
    wrong = [
        f"{name(path)}:{line} imports {module}"
        for path in SOURCES
        for module, _, line in imports(path)
        if (package := module.split(".")[0]) in MAY_IMPORT and package not in MAY_IMPORT[name(path).split("/")[0]]
    ]
    assert not wrong, "\n".join(wrong)


def test_a_package_uses_only_the_public_names_of_another():
    wrong = []
    for path in SOURCES:
        for module, imported, line in imports(path):
            package = module.split(".")[0]
            if package not in MAY_IMPORT:
                continue
            if module != package or imported is None or imported not in importlib.import_module(package).__all__:
                wrong.append(f"{name(path)}:{line} imports {module}.{imported or ''}")
    assert not wrong, "\n".join(wrong)


def test_imports_are_at_the_top_of_the_file():
    wrong = [
        f"{name(path)}:{inner.lineno}"
        for path in SOURCES
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    assert not wrong, "\n".join(wrong)


def test_a_third_party_library_has_one_home():
    wrong = []
    for path in SOURCES:
        for module, imported, line in imports(path):
            full = f"{module}.{imported}" if imported else module
            for library, homes in HOMES.items():
                if (full + ".").startswith(library + ".") and not name(path).startswith(homes):
                    wrong.append(f"{name(path)}:{line} imports {full}; its home is {' and '.join(homes)}")
    assert not wrong, "\n".join(wrong)


def test_use_cases_and_the_engine_know_nothing_of_flight():
    wrong = [
        f"{name(path)}:{line}"
        for path in SOURCES
        if name(path).startswith(WITHOUT_FLIGHT)
        for module, imported, line in imports(path)
        if f"{module}.{imported}".startswith("pyarrow.flight")
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_all_lists_the_public_names_once(package: str):
    """The linter sees to their order (RUF022)."""
    module = importlib.import_module(package)
    assert len(module.__all__) == len(set(module.__all__))
    assert not [public for public in module.__all__ if not hasattr(module, public)]


def test_a_file_is_one_concept():
    wrong = [
        f"{name(path)} has {lines} lines"
        for path in ALL
        if (lines := len(path.read_text().splitlines()))
        > (LINES_OF_A_FILE if path in SOURCES else LINES_OF_A_TEST_FILE)
    ]
    assert not wrong, "\n".join(wrong)


def test_a_function_fits_a_screen():
    wrong = [
        f"{name(path)}:{node.lineno} {node.name} has {lines} lines"
        for path in SOURCES
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > LINES_OF_A_FUNCTION
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_is_left_for_later():
    marker = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    wrong = [
        f"{name(path)}:{number}"
        for path in ALL
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if marker.search(line)
    ]
    assert not wrong, "\n".join(wrong)


def test_a_silenced_rule_has_a_reason():
    silenced = re.compile(r"#\s*noqa(?!: [A-Z]+\d+(, ?[A-Z]+\d+)* +\S.{5,})")
    wrong = [
        f"{name(path)}:{number} {line.strip()}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if silenced.search(line)
    ]
    assert not wrong, "\n".join(wrong)


def test_tests_are_no_package():
    assert not list((ROOT / "tests").rglob("__init__.py"))
