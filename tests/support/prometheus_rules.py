"""The rules as they are committed."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
FILES = tuple(sorted(FOLDER.glob("*.yaml")))


@cache
def groups(*files: Path) -> list[dict[str, Any]]:
    """Of all files, where none are named."""
    return [
        group
        for file in files or FILES
        for group in yaml.safe_load(file.read_text("utf-8"))["groups"]
    ]


def rules(*files: Path) -> list[dict[str, Any]]:
    return [rule for group in groups(*files) for rule in group["rules"]]


def alerts(*files: Path) -> dict[str, dict[str, Any]]:
    """By name; likewise."""
    found = [rule for rule in rules(*files) if "alert" in rule]
    named = {rule["alert"]: rule for rule in found}
    assert len(named) == len(found), "two alerts have one name"
    return named
