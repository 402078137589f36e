"""Write what is made from the settings: ``lakehouse.toml`` and the tables of ``docs/configuration.md``."""

import json
import re
import textwrap
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from .settings import DEFAULT_LAKE_PATH, sections

BEGIN = "<!-- made by `make docs`: begin -->"
END = "<!-- made by `make docs`: end -->"
UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))

HEAD = """\
# Settings of a lakehouse server. Every setting is listed, with its default; delete what you do not change.
# A flag of `lakehouse serve` beats a variable LAKEHOUSE_SECTION__KEY, which beats this file, which beats the default.
# Units are in the names. A line that begins with "# key =" has no default.
"""


def toml_file() -> str:
    """Return ``lakehouse.toml`` with every setting at its default."""
    return HEAD + "".join(f"\n{_toml_section(name, model)}" for name, model in sections())


def _toml_section(name: str, model: type[BaseModel]) -> str:
    lines = [*_comment(_summary(model)), f"[{name}]"]
    for key, field in model.model_fields.items():
        lines += _comment(_described(key, field))
        default = DEFAULT_LAKE_PATH if name.startswith("lakes.") and key == "path" else field.default
        if default is None:
            lines.append(f"# {key} =")
        else:
            lines.append(f"{key} = {_toml_value(default)}")
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, width=118, initial_indent="# ", subsequent_indent="# ")


def _summary(model: type[BaseModel]) -> str:
    text = " ".join((model.__doc__ or "").split())
    return re.sub(r"[:.]?\s*``\[.*?\]``\.?", "", text).rstrip(".") + "."


def _described(key: str, field: FieldInfo) -> str:
    size = _readable(field.default) if key.endswith("_bytes") else ""
    return f"{field.description} ({size})" if size else str(field.description)


def _readable(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        for size, unit in UNITS:
            if value >= size and value % size == 0:
                return f"{value // size} {unit}"
    return ""


def _toml_value(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 10_000:  # noqa: PLR2004 (groups of digits)
        return f"{value:_}"
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)


def markdown_tables() -> str:
    """Return a table for each section, for ``docs/configuration.md``."""
    return "\n".join(_markdown_section(name, model) for name, model in sections())


def _markdown_section(name: str, model: type[BaseModel]) -> str:
    heading = "lakes.NAME" if name.startswith("lakes.") else name
    lines = [f"### `[{heading}]`", "", _summary(model), "", "| key | default | what it is |", "|---|---|---|"]
    for key, field in model.model_fields.items():
        default = "" if field.default in (None, PydanticUndefined) else f"`{_toml_value(field.default)}`"
        lines.append(f"| `{key}` | {default} | {_described(key, field)} |")
    return "\n".join(lines) + "\n"


def with_tables(page: str) -> str:
    """Return the page with its generated part made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{markdown_tables()}\n{END}{after}"


def write_pages(root: Path) -> None:
    """Write ``lakehouse.toml`` and the tables below the project's root folder."""
    (root / "lakehouse.toml").write_text(toml_file(), encoding="utf-8")
    page = root / "docs" / "configuration.md"
    page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write_pages(Path(__file__).parent.parent)
