"""What a run leaves behind: a file of JSON and one of charts."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from baton.cluster.outcomes import Objectives, Outcome
from baton.cluster.outcomes.plot import plot
from baton.core.errors import SettingsError


def check_writable(*paths: Path | None) -> None:
    """Before a run, so that none is lost at its end. Raises SettingsError."""
    for path in filter(None, paths):
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise SettingsError(f"cannot write {path}: there is no such folder, or it is one")


def write_json(path: Path, said: Mapping[str, Any]) -> None:
    _write(path, json.dumps(said, indent=1) + "\n")


def write_plot(path: Path, outcomes: Sequence[Outcome], objectives: Objectives) -> None:
    _write(path, plot(outcomes, objectives))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror}") from error
