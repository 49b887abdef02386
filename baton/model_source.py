"""Where a model comes from: a folder of this machine, or a repository of a Hugging Face hub."""

import re
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40}")


def revision_of(folder: Path) -> str:
    """The commit hash of a hub's snapshot, empty for any other folder."""
    folder = folder.absolute()
    held = folder.parent.name == "snapshots" and _COMMIT.fullmatch(folder.name)
    return folder.name if held else ""
