"""Settings back into what a child process is started with."""

import json
from collections.abc import Iterator
from dataclasses import Field, fields
from typing import Any

from baton.settings.field import env_of, flag_of


def as_flags(settings: object) -> list[str]:
    """The command line that rebuilds `settings`. Left out: fields at their default, and secrets,
    for everyone on the machine can read a command line.
    """
    words: list[str] = []
    for spec, value in given(settings):
        if not spec.metadata.get("secret"):
            words += _words(flag_of(spec), value)
    return words


def as_environment(settings: object) -> dict[str, str]:
    """The variables that hold what `as_flags` must not show."""
    return {
        env_of(spec): json.dumps(list(value)) if isinstance(value, tuple) else str(value)
        for spec, value in given(settings)
        if spec.metadata.get("secret")
    }


def given(settings: object) -> Iterator[tuple["Field[Any]", Any]]:
    """Fields with their values, nested ones included, but for those at their default."""
    for spec in fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, spec.name)
        if "nested" in spec.metadata:
            yield from given(value)
        elif value != spec.default and value is not None:
            yield spec, value


def _words(flag: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [flag if value else flag.replace("--", "--no-", 1)]
    if isinstance(value, tuple):
        return [word for item in value for word in (flag, str(item))]
    if isinstance(value, dict):
        return [flag, json.dumps(value)]
    return [flag, str(value)]
