"""docs/settings.md says what the code has."""

from pathlib import Path

from baton.cluster.settings_page import page

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text("utf-8") == page(), "run `make settings-page`"


def test_each_setting_has_its_line_once_in_its_table() -> None:
    gateway = page().partition("## baton gateway")[2].partition("## baton prefill")[0]
    assert gateway.count("\n| `--api-key` | `BATON_API_KEY`, `VLLM_API_KEY` |") == 1
    assert gateway.count("\n| `--registry-port` † |") == 1
    assert gateway.count("\n| `--port` | `BATON_PORT` | `8000` |") == 1
