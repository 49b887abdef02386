"""Settings as frozen dataclasses; each field becomes a flag, an environment variable and a line of help.

A process declares `class GatewaySettings` with `setting(default, "help")` fields, puts
`@options(GatewaySettings)` over its click command and gets one validated object.
`--some-flag` is also `BATON_SOME_FLAG`; the flag wins.
"""

import types
from collections.abc import Callable
from dataclasses import MISSING, Field, field, fields
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import click

T = TypeVar("T")


def setting(
    default: Any, help: str, *, flag: str | None = None, choices: tuple[str, ...] = ()
) -> Any:
    """A dataclass field with its help line; `flag` where the name differs from the field's."""
    return field(default=default, metadata={"help": help, "flag": flag, "choices": choices})


def flag_of(spec: "Field[Any]") -> str:
    return spec.metadata.get("flag") or "--" + spec.name.replace("_", "-")


def env_of(spec: "Field[Any]") -> str:
    return "BATON_" + flag_of(spec).removeprefix("--").replace("-", "_").upper()


def options(settings: type[T]) -> Callable[[Callable[[T], Any]], Callable[..., Any]]:
    """Decorates `command(settings)` with one click option per field of the dataclass."""

    def decorate(command: Callable[[T], Any]) -> Callable[..., Any]:
        def build(**values: Any) -> Any:
            return command(settings(**values))

        build.__name__, build.__doc__ = command.__name__, command.__doc__
        hints = get_type_hints(settings)
        wrapped: Callable[..., Any] = build
        for spec in reversed(fields(settings)):  # type: ignore[arg-type]
            wrapped = _option(spec, hints[spec.name])(wrapped)
        return wrapped

    return decorate


def as_flags(settings: object) -> list[str]:
    """The command line that rebuilds `settings`; fields at their default are left out."""
    words: list[str] = []
    for spec in fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, spec.name)
        if value == spec.default or value is None:
            continue
        flag = flag_of(spec)
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        elif isinstance(value, tuple):
            for item in value:
                words += [flag, str(item)]
        else:
            words += [flag, str(value)]
    return words


def _option(spec: "Field[Any]", hint: Any) -> Callable[..., Any]:
    flag, kind = flag_of(spec), _plain(hint)
    common: dict[str, Any] = {
        "default": None if spec.default is MISSING else spec.default,
        "required": spec.default is MISSING,
        "help": spec.metadata.get("help"),
        "envvar": env_of(spec),
        "show_default": spec.default not in (None, "", ()),
        "show_envvar": True,
    }
    if kind is bool:
        return click.option(f"{flag}/{flag.replace('--', '--no-', 1)}", spec.name, **common)
    if get_origin(kind) is tuple:
        item = get_args(kind)[0]
        return click.option(flag, spec.name, type=item, multiple=True, **common)
    if spec.metadata.get("choices"):
        return click.option(flag, spec.name, type=click.Choice(spec.metadata["choices"]), **common)
    return click.option(flag, spec.name, type=kind, **common)


def _plain(hint: Any) -> Any:
    """`int | None` is an optional int."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(arg for arg in get_args(hint) if arg is not type(None))
    return hint
