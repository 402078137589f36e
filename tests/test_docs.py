"""The documents are right: their examples run, and what they list is what there is."""

import ast
import itertools
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from lakehouse.demo import Server, serving
from lakehouse.settings import Settings, sections
from lakehouse.settings_pages import toml_file, with_tables
from lakehouse.settings_sources import load_settings

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-W", "error", "-c"]}


def examples(page: Path) -> list[tuple[str, str]]:
    """Return the blocks of a page that are run; other languages are only shown."""
    return [(language, text) for language, text in BLOCK.findall(page.read_text()) if language in COMMANDS]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path) as server:
        yield server


@pytest.mark.parametrize(
    "page", [page for page in PAGES if examples(page)], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_the_examples_of_a_page_run(page: Path, server: Server, tmp_path: Path):
    """In the page's order, in one folder, on a new server, with warnings as errors."""
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "LAKEHOUSE_FLIGHT_URI": server.flight,
        "LAKEHOUSE_HTTP_URL": server.http,
    }
    for language, text in examples(page):
        code = text.replace("127.0.0.1:8815", server.host_and_port).replace("http://127.0.0.1:3100", server.http)
        ended = subprocess.run(
            [*COMMANDS[language], code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, f"{text}\n{ended.stdout}\n{ended.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert not [link for link in links if not (page.parent / link).exists()]


def test_the_architecture_page_maps_every_module():
    """A folder's lines name its modules; what follows two spaces is said of them."""
    text = (ROOT / "docs" / "architecture.md").read_text().partition("## Folder map")[2]
    folder, mapped = "", []
    for line in text.partition("```text\n")[2].partition("```")[0].splitlines():
        names = line.strip().partition("  ")[0]
        if line.startswith("  "):
            mapped += [f"{folder}{name}.py" for name in names.split()]
        else:
            folder = names
    packages = ("catalog", "clients", "flight_server", "http_shim", "lakehouse")
    files = [path for package in packages for path in (ROOT / package).rglob("*.py") if path.name != "__init__.py"]
    assert sorted(mapped) == sorted(path.relative_to(ROOT).as_posix() for path in files)


def test_lakehouse_toml_lists_exactly_the_settings_with_their_defaults():
    text = (ROOT / "lakehouse.toml").read_text()
    assert text == toml_file(), "run `make docs`"
    without_comments = re.sub(r"^# (\w+) =$", "", text, flags=re.MULTILINE)
    assert load_settings(config=ROOT / "lakehouse.toml", environment={}) == Settings()
    values = tomllib.loads(without_comments)
    for name, model in sections():
        section = values
        for part in name.split("."):
            section = section[part]
        unset = {key for key in model.model_fields if f"# {key} =\n" in text}
        assert section.keys() | unset >= model.model_fields.keys()


def test_every_setting_has_a_description():
    assert not [
        f"[{name}] {key}"
        for name, model in sections()
        for key, field in model.model_fields.items()
        if not field.description
    ]


def test_the_configuration_page_lists_exactly_the_settings():
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert page == with_tables(page), "run `make docs`"


def modules() -> list[ast.Module]:
    packages = ("catalog", "clients", "flight_server", "http_shim", "lakehouse")
    return [ast.parse(path.read_text()) for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def takers_of_codes(trees: list[ast.Module]) -> dict[str, int]:
    """Return the functions and classes with a parameter called ``code``, and its position."""
    takers = {}
    for tree in trees:
        classes = {inner: node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for inner in node.body}
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                names = [argument.arg for argument in node.args.args if argument.arg not in {"self", "cls"}]
                if "code" in names:
                    takers[classes.get(node, node.name) if node.name == "__init__" else node.name] = names.index("code")
    return takers


def is_kind(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ErrorKind"


def words(nodes: Iterable[ast.expr | None]) -> set[str]:
    """Return what may be a code among these expressions and the branches of conditional ones."""
    leaves = [leaf for node in nodes for leaf in ((node.body, node.orelse) if isinstance(node, ast.IfExp) else (node,))]
    strings = [leaf.value for leaf in leaves if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)]
    return {string for string in strings if re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", string)}


def assigned_codes(name: str, value: ast.expr | None) -> set[str]:
    if name == "code":
        return words([value])
    if isinstance(value, ast.Dict) and "CODE" in name:
        return words(value.keys if name.endswith("_OF_CODE") else value.values)
    return set()


def codes_in_the_source() -> set[str]:
    """Return every string that is passed or assigned as a code, or stands beside a kind in a tuple or a table."""
    trees = modules()
    takers = takers_of_codes(trees)
    found: set[str] = set()
    for node in itertools.chain.from_iterable(map(ast.walk, trees)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in takers:
                found |= words(node.args[takers[name] :][:1])
                found |= words(keyword.value for keyword in node.keywords if keyword.arg == "code")
        elif isinstance(node, ast.Tuple) and any(map(is_kind, node.elts)):
            found |= words(node.elts)
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            found |= words(word for pair in pairs if any(part and is_kind(part) for part in pair) for word in pair)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= assigned_codes(getattr(targets[0], "id", ""), node.value)
    return found


def test_the_error_page_lists_exactly_the_codes():
    listed = re.findall(r"^\| `([a-z]\w+)` \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE)
    assert listed == sorted(set(listed)), "codes are listed once, in order"
    assert set(listed) == codes_in_the_source()
