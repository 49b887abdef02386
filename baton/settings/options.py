"""A settings class -> the options of a click command."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from baton.settings.config_file import read_config
from baton.settings.field import Setting, settings_of
from baton.settings.values import JsonObject, Size, Word, opened

T = TypeVar("T")

CONFIG_VARIABLE = "BATON_CONFIG"
_WITHOUT_FLAG = "_without_flag"  # behind a field's name: its positional argument


def options(settings: type[T]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorates `command(settings)` with one click option per field of the dataclass. What other
    decorators of click add is passed on by name.
    """
    found = settings_of(settings)
    names = {name for one in found for name in (one.name, one.name + _WITHOUT_FLAG)}

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        def build(**values: Any) -> Any:
            others = {name: values.pop(name) for name in values.keys() - names}
            return command(_filled(settings, _with_positional(found, values)), **others)

        build.__name__, build.__doc__ = command.__name__, command.__doc__
        wrapped: Callable[..., Any] = _config_option(build)
        for one in reversed(found):
            wrapped = _option(one)(wrapped)
            if one.marked("positional"):
                wrapped = _argument(one)(wrapped)
        return wrapped

    return decorate


def _filled(kind: type[T], values: Mapping[str, Any]) -> T:
    chosen: dict[str, Any] = {}
    for spec in fields(kind):  # type: ignore[arg-type]
        inner = spec.metadata.get("nested")
        if inner is not None:
            theirs = {k: v for k, v in values.items() if k not in spec.metadata["without"]}
            chosen[spec.name] = _filled(inner, theirs)
        elif spec.name in values:
            chosen[spec.name] = values[spec.name]
    return kind(**chosen)


def _with_positional(found: list[Setting], values: dict[str, Any]) -> dict[str, Any]:
    for one in found:
        given = values.pop(one.name + _WITHOUT_FLAG, None)
        if given is None:
            continue
        source = click.get_current_context().get_parameter_source(one.name)
        if source is ParameterSource.COMMANDLINE and values[one.name] != given:
            raise click.UsageError(
                f"{given!r} and {one.flag} {values[one.name]!r} are given; one of them is enough"
            )
        values[one.name] = given
    return values


def _argument(one: Setting) -> Callable[..., Any]:
    return click.argument(one.name + _WITHOUT_FLAG, required=False, metavar=f"[{one.name.upper()}]")


def _option(one: Setting) -> Callable[..., Any]:
    words, told = _declared(one)
    return click.option(*words, **told)


def option_of(one: Setting) -> click.Option:
    """The option by itself, without a command."""
    words, told = _declared(one)
    return click.Option(words, **told)


def _declared(one: Setting) -> tuple[list[str], dict[str, Any]]:
    """The words that name the option, and all else that is told of it."""
    flag = one.flag
    common: dict[str, Any] = {
        "default": one.default,
        "required": one.required,
        "help": one.help,
        "envvar": list(one.variables),
        "show_default": one.default not in (None, "", ()) and not one.marked("secret"),
        "show_envvar": True,
    }
    if one.kind is bool:
        return [f"{flag}/{flag.replace('--', '--no-', 1)}", one.name], common
    if one.several:
        common |= {"type": Word(), "multiple": True, "callback": lambda _, __, words: opened(words)}
        return [flag, one.name], common
    return [flag, one.name], common | {"type": _type_of(one)}


def _type_of(one: Setting) -> Any:
    if one.choices:
        return click.Choice(one.choices)
    if one.marked("size"):
        return Size()
    return JsonObject() if one.kind == dict[str, Any] else one.kind


def _config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        envvar=CONFIG_VARIABLE,
        show_envvar=True,
        is_eager=True,  # before the options that it has values for
        expose_value=False,
        callback=_take_config,
        help="YAML file of these settings, one `flag-name: value` per line; a flag or its "
        "variable wins over the file.",
    )(command)


def _take_config(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    if path is not None:
        named = {one.name: one for one in ctx.command.params if isinstance(one, click.Option)}
        del named[str(param.name)]
        ctx.default_map = read_config(path, named, ctx)
