"""docs/chat-api.md has a row for every field of the chat schema, and each row names a test that
shows the field acting.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.schema.chat import ChatCompletionRequest
from gateway.schema.fields import DANGEROUS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/chat-api.md").read_text("utf-8")
COLUMNS = ("field", "type", "range", "default", "acts", "unlike", "test")


@dataclass(frozen=True)
class Row:
    fields: tuple[str, ...]  # several that one sentence tells of
    test: str


def rows() -> list[Row]:
    table = PAGE.split("\n## Fields\n")[1].split("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    assert {len(row) for row in cells} == {len(COLUMNS)}
    return [Row(tuple(re.findall(r"`(\w+)`", row[0])), row[-1].strip("` |")) for row in cells]


ROWS = rows()
SCHEMA = set(ChatCompletionRequest.model_fields)


def test_every_field_of_the_schema_has_one_row() -> None:
    named = [name for row in ROWS for name in row.fields]
    assert len(named) == len(set(named))
    assert SCHEMA - set(named) == set()


def test_no_row_is_about_a_field_that_does_not_exist() -> None:
    assert {name for row in ROWS for name in row.fields} <= SCHEMA | DANGEROUS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.fields[0])
def test_a_field_that_acts_names_the_test_that_shows_it(row: Row) -> None:
    if SCHEMA.isdisjoint(row.fields):
        return
    file, _, name = row.test.partition("::")
    assert (ROOT / file).is_file(), row.test
    source = (ROOT / file).read_text("utf-8")
    assert re.search(rf"^ *(async )?def {re.escape(name)}\(", source, re.MULTILINE), row.test


def test_links_within_the_page_have_their_targets() -> None:
    titles = {title.strip().lower() for title in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) <= titles
