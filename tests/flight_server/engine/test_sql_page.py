"""docs/sql.md says what the gate does."""

import re
from pathlib import Path

from flight_server.engine.gate import DENIED_FUNCTIONS, DENIED_PREFIXES, INFORMATION_SCHEMA, TABLE_FUNCTIONS

PAGE = (Path(__file__).parents[3] / "docs" / "sql.md").read_text()
LISTS = [set(block.split()) for block in re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)]


def test_the_page_lists_exactly_the_functions_of_the_gate():
    assert LISTS == [TABLE_FUNCTIONS, DENIED_FUNCTIONS]


def test_the_page_names_the_prefixes_and_the_information_schema():
    named = set(re.findall(r"`(\w+)`", PAGE))
    assert set(DENIED_PREFIXES) - {"__internal"} <= named
    assert named >= INFORMATION_SCHEMA
