"""A YAML list whose entries have flags' names for keys: checked as the flags would be."""

from collections.abc import Hashable, Iterable
from difflib import get_close_matches
from typing import Any

import click
import yaml

from baton.settings.config_file import wrong_type
from baton.settings.field import Setting
from baton.settings.options import option_of
from baton.settings.values import opened


class EntryError(Exception):
    """A sentence that begins with the path to what is wrong."""


def read_entries(
    text: str, name: str, known: Iterable[Setting], elsewhere: Iterable[Setting] = ()
) -> list[dict[str, Any]]:
    """Of a file that has the list `name` and nothing else: for each entry its values by the fields'
    names. `elsewhere`: settings that there are, but not of an entry. Raises EntryError.
    """
    try:
        content = yaml.load(text, _NothingTwice)
    except yaml.YAMLError as error:
        raise EntryError(f"it is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or content.keys() != {name}:
        raise EntryError(f"the file must have one key, `{name}:`, with a list below it")
    entries = content[name]
    if not isinstance(entries, list) or not entries:
        raise EntryError(f"{name} must be a list with one entry at least")
    options = {one.name: one for one in known}
    others = {one.name for one in elsewhere} - options.keys()
    return [
        _values(entry, f"{name}[{index}]", options, others) for index, entry in enumerate(entries)
    ]


def _values(entry: Any, place: str, known: dict[str, Setting], others: set[str]) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise EntryError(f"{place} must hold lines of the form `flag-name: value`")
    values: dict[str, Any] = {}
    for key, value in entry.items():
        name, path = str(key).replace("-", "_"), f"{place}.{key}"
        if name in others:
            raise EntryError(f"{path} is for all of them together: give it as a flag")
        if name not in known:
            raise EntryError(f"{path} is no setting of an entry{_meant(name, known)}")
        if name in values:
            raise EntryError(f"{path} is there twice")
        values[name] = _value(known[name], value, path)
    return values


def _meant(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0].replace('_', '-')}?" if close else ""


def _value(one: Setting, value: Any, path: str) -> Any:
    option = option_of(one)
    wrong = wrong_type(option, value)
    if wrong:
        raise EntryError(f"{path} {wrong}")
    if one.several:
        return opened([value] if isinstance(value, str) else value)
    try:
        return option.type_cast_value(click.Context(click.Command("entry")), value)
    except click.BadParameter as error:
        raise EntryError(f"{path}: {error.message}") from error


class _NothingTwice(yaml.SafeLoader):
    """A plain load would let the second of two equal keys win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key) for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key} is there twice", node.value[index][0].start_mark
                )
        return super().construct_mapping(node, deep)
