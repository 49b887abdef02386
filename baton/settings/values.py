"""Kinds of values that click does not have: sizes, several words, JSON objects."""

import json
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import click

_SIZE = re.compile(r"(\d+(?:\.\d+)?)([kmgt]|[KMGT]|[KMGT]iB|[kKMGT]B|B)?", re.ASCII)
_POWER = {"K": 1, "M": 2, "G": 3, "T": 4}


def parse_size(text: str) -> int:
    """`1k` and `1kB` are 1000, `1K` and `1KiB` are 1024, as vLLM reads them.

    Raises ValueError for anything else, and where no whole number comes out.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no size; write 4294967296, 4GiB or 512M")
    number, unit = match.groups()
    size = Decimal(number) * _factor(unit or "B")
    if size != int(size):
        raise ValueError(f"{text!r} is no whole number")
    return int(size)


def _factor(unit: str) -> int:
    if unit == "B":
        return 1
    binary = unit.endswith("iB") or unit in _POWER
    return int((1024 if binary else 1000) ** _POWER[unit[0].upper()])


class Size(click.ParamType[int]):
    """An integer, perhaps with a unit; negative ones pass, for the settings refuse them by name."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        sign, digits = (-1, value[1:]) if value.startswith("-") else (1, value)
        try:
            return sign * parse_size(digits)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Word(click.ParamType[str]):
    """One of several texts. In a variable they are separated by commas or blanks; everywhere a
    JSON list of texts stands for its items.
    """

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        return json_words(rv) or tuple(filter(None, re.split(r"[,\s]+", rv)))


def json_words(text: str) -> tuple[str, ...] | None:
    """None for what is no JSON list of texts."""
    if not text.lstrip().startswith("["):
        return None
    try:
        items = json.loads(text)
    except ValueError:
        return None
    return tuple(items) if all(isinstance(item, str) for item in items) else None


def opened(words: Sequence[str]) -> tuple[str, ...]:
    """JSON lists among the words replaced by their items; empty words dropped."""
    found: list[str] = []
    for word in words:
        items = json_words(word)
        found += (word,) if items is None else items
    return tuple(filter(None, found))


class JsonObject(click.ParamType[dict[str, Any]]):
    name = "json"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError as error:
                self.fail(f"{value!r} is not valid JSON: {error}", param, ctx)
        if not isinstance(value, dict):
            self.fail(f"{value!r} is no JSON object", param, ctx)
        return value
