"""--model becomes a local folder."""

import re
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from baton.core.errors import SettingsError
from baton.model_source.settings import HubSettings

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


class Part(Enum):
    """What is needed of a model."""

    ALL = "configuration, tokenizer and weights"
    TEXT = "configuration and tokenizer"


def resolve(model: str, hub: HubSettings, part: Part, say: Callable[[str], None]) -> Path:
    """The folder `model` if there is one, else the snapshot of the hub's repository of that name.

    Downloads what the cache lacks, telling the progress on a terminal by bars, else through `say`.
    It blocks; on the main thread Ctrl-C meanwhile ends the process. Raises SettingsError when there
    is neither folder nor repository, or the hub does not give it.
    """
    folder = Path(model)
    if folder.is_dir():
        if hub.revision:
            raise SettingsError(
                f"--revision {hub.revision} is for models of a hub, and {model} is a folder here"
            )
        _check_config(model, folder)
        return folder
    if folder.exists():
        raise SettingsError(f"--model {model}: is a file, give its folder")
    if not _HUB_ID.fullmatch(model):
        raise SettingsError(f"--model {model}: there is no such folder")
    # Here, because a folder needs neither the library nor the time to import it.
    from baton.model_source.hub import download

    snapshot = download(model, hub, part, say)
    _check_config(model, snapshot)
    return snapshot


def revision_of(folder: Path) -> str:
    """The commit hash of a hub's snapshot, empty for any other folder."""
    folder = folder.absolute()
    held = folder.parent.name == "snapshots" and _COMMIT.fullmatch(folder.name)
    return folder.name if held else ""


def _check_config(model: str, folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise SettingsError(f"--model {model}: {folder} holds no config.json, so no model")
