"""The rules as they are committed."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
FILES = tuple(sorted(FOLDER.glob("*.yaml")))


def groups() -> list[dict[str, Any]]:
    """Of all files."""
    return [group for file in FILES for group in yaml.safe_load(file.read_text("utf-8"))["groups"]]


def rules() -> list[dict[str, Any]]:
    return [rule for group in groups() for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """By name."""
    found = [rule for rule in rules() if "alert" in rule]
    named = {rule["alert"]: rule for rule in found}
    assert len(named) == len(found), "two alerts have one name"
    return named
