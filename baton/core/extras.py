"""Extras of the package: what only some of its users install."""

from collections.abc import Iterator
from contextlib import contextmanager

from baton.core.errors import SettingsError


@contextmanager
def needing(extra: str, who: str) -> Iterator[None]:
    """Around imports of what `extra` brings: SettingsError where it is missing, beginning with `who`,
    such as "a worker needs PyTorch", and ending with how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise SettingsError(f"{who} ({error}); pip install 'baton-serving[{extra}]'") from error
