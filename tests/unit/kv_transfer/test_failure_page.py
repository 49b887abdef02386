"""docs/hand-off.md tells of each group of failures how it is met, and names tests that exist."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/hand-off.md").read_text("utf-8")
GROUPS = 24


def rows() -> list[list[str]]:
    table = PAGE.split("\n## What goes wrong elsewhere, and here\n")[1]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines[1:]]


def test_every_group_has_a_row_with_all_of_its_cells() -> None:
    assert len(rows()) == GROUPS
    assert all(len(row) == 3 and all(row) for row in rows())


def test_the_tests_of_prefixes_that_come_back_exist() -> None:
    section = PAGE.split("\n## The beginning of a prompt comes back\n")[1].split("\n## ")[0]
    source = (ROOT / "tests/integration/worker/test_prefix_pulls.py").read_text("utf-8")
    named = re.findall(r"`(test_\w+)`", section)
    assert len(named) > 10
    assert [name for name in named if f"def {name}(" not in source] == []


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:40])
def test_the_tests_of_a_row_exist(row: list[str]) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row[2])
    assert named
    for file, name in named:
        source = (ROOT / file).read_text("utf-8")
        assert re.search(rf"^ *(async )?def {name}\(", source, re.MULTILINE), f"{file}::{name}"
