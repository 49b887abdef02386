"""The YAML file of `--config`: flag names and their values, checked before anything uses them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from baton.settings.values import JsonObject, Size


class ConfigFileError(click.ClickException):
    exit_code = os.EX_CONFIG


def read_config(
    path: Path, known: Mapping[str, click.Option], ctx: click.Context
) -> dict[str, Any]:
    """Values by the options' names. Raises ConfigFileError with the file and the key at fault."""
    values: dict[str, Any] = {}
    for key, value in _entries(path):
        name = str(key).replace("-", "_").removeprefix("__")
        option = known.get(name)
        if option is None:
            raise ConfigFileError(f"{path}: {key} is no setting of {ctx.command_path}")
        if name in values:
            raise ConfigFileError(f"{path}: {key} is there twice")
        wrong = wrong_type(option, value)
        if wrong:
            raise ConfigFileError(f"{path}: {key} {wrong}")
        if option.multiple and isinstance(value, str):
            value = [value]
        try:
            option.type_cast_value(ctx, value)
        except click.BadParameter as error:
            raise ConfigFileError(f"{path}: {key}: {error.message}") from error
        values[name] = value
    return values


def _entries(path: Path) -> list[tuple[Any, Any]]:
    import yaml  # only those who have a file wait for it

    try:
        root = yaml.compose(path.read_text("utf-8"), yaml.SafeLoader)
        if root is None:
            return []
        if not isinstance(root, yaml.MappingNode):
            raise ConfigFileError(f"{path} must hold lines of the form `flag-name: value`")
        build = yaml.SafeLoader("")
        # Pair by pair: a plain load would let the second of two equal keys win in silence.
        return [
            (build.construct_object(key, deep=True), build.construct_object(value, deep=True))
            for key, value in root.value
        ]
    except OSError as error:
        raise ConfigFileError(f"cannot read --config {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigFileError(f"{path} is not UTF-8 text") from error
    except yaml.YAMLError as error:
        raise ConfigFileError(
            f"{path} is not valid YAML: {' '.join(str(error).split())}"
        ) from error


def wrong_type(option: click.Option, value: Any) -> str:
    """Why it is of the wrong type, or "". Nothing is guessed: YAML reads 0123 as 83, no as false."""
    if value is None:
        return "has no value"
    if option.multiple:
        items = value if isinstance(value, list) else [value]
        return "" if all(isinstance(item, str) for item in items) else "must be text, in quotes"
    if option.is_flag:
        return "" if isinstance(value, bool) else f"must be true or false, not {value!r}"
    if isinstance(option.type, JsonObject):
        return "" if isinstance(value, dict | str) else f"must be a mapping, not {value!r}"
    if isinstance(value, bool):
        return f"must not be {str(value).lower()}"
    if option.type is click.INT:
        return "" if isinstance(value, int) else f"must be a whole number, not {value!r}"
    if option.type is click.FLOAT:
        return "" if isinstance(value, int | float) else f"must be a number, not {value!r}"
    if isinstance(option.type, Size):
        return "" if isinstance(value, int | str) else f"must be a size, not {value!r}"
    return "" if isinstance(value, str) else "must be text, in quotes"
