"""Model folders that we make: written whole or not at all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from baton.core.errors import SettingsError


def write_model(out: Path, force: bool, make: Callable[[Path], None]) -> None:
    """Lets `make` write a new folder beside `out`, then puts it there in one step.

    Raises SettingsError when `out` holds something and `force` does not allow to replace it.
    """
    out = out.resolve()
    if out.exists() and not force and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(f"{out} exists and is not empty; --force replaces it")
    with _beside(out) as scratch:
        fresh = scratch / "fresh"
        make(fresh)
        if force and out.exists():
            os.rename(out, scratch / "old")
        try:
            os.rename(fresh, out)  # succeeds over an empty folder
        except OSError as error:
            raise SettingsError(f"cannot write {out}: {error.strerror}") from error


@contextlib.contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A scratch folder on the same file system, gone afterwards."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise SettingsError(f"cannot write to {out.parent}: {error.strerror}") from error
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch)
