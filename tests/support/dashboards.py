"""The dashboards as they are committed, and what their panels ask."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "grafana"
FILES = tuple(sorted(path.name for path in FOLDER.glob("*.json")))


@dataclass(frozen=True, slots=True)
class PanelQuery:
    dashboard: str
    panel: str
    expr: str  # with Grafana's variables in it

    def asked(self, window: str = "1m") -> str:
        """As Grafana sends it with all namespaces chosen; `window` for the rates."""
        return self.expr.replace("$__rate_interval", window).replace("$namespace", ".*")

    def __str__(self) -> str:
        return f"{self.dashboard}, {self.panel}: {self.expr}"


def dashboard(name: str) -> dict[str, Any]:
    parsed = json.loads((FOLDER / name).read_text("utf-8"))
    assert isinstance(parsed, dict)
    return parsed


def panels(name: str) -> list[dict[str, Any]]:
    """All but the rows."""
    return [panel for panel in dashboard(name)["panels"] if panel["type"] != "row"]


def panel_queries() -> Iterator[PanelQuery]:
    for name in FILES:
        for panel in panels(name):
            for target in panel["targets"]:
                yield PanelQuery(name, panel["title"], target["expr"])
