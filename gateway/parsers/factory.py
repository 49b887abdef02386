"""What makes a parser, by the name that its flag gives: built in, or of another package."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TypeVar

from baton.core.errors import SettingsError

AUTO, NONE = "auto", "none"

Factory = TypeVar("Factory")


def factory(name: str, built_in: Mapping[str, Factory], group: str, flag: str) -> Factory:
    """`group`: the entry points where other packages register theirs. Raises SettingsError, which
    names what `flag` takes, for an unknown name.
    """
    if name in built_in:
        return built_in[name]
    found = entry_points(group=group)
    if name not in found.names:
        names = ", ".join([AUTO, NONE, *built_in, *sorted(found.names)])
        raise SettingsError(f"{flag} {name} is none of {names}")
    registered: Factory = found[name].load()
    return registered
