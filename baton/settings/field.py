"""The fields of a settings class, and what each is called outside of Python."""

import types
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, Union, get_args, get_origin, get_type_hints


def setting(
    default: Any,
    help: str,
    *,
    flag: str | None = None,
    choices: tuple[str, ...] = (),
    env: tuple[str, ...] = (),
    secret: bool = False,
    size: bool = False,
    positional: bool = False,
) -> Any:
    """A dataclass field with its help line; `flag` where the name differs from the field's.

    `env`: variables of other servers that are read where BATON_... is not set. `secret`: never
    printed and never on the command line of a child. `size`: 4GiB and 512M are numbers too.
    `positional`: may come without its flag.
    """
    told = {
        "help": help,
        "flag": flag,
        "choices": choices,
        "env": env,
        "secret": secret,
        "size": size,
        "positional": positional,
    }
    return field(default=default, repr=not secret, metadata=told)


def nested(kind: type[Any], without: frozenset[str] = frozenset()) -> Any:
    """A field that is itself a settings class: its fields become flags beside the others.

    Fields named in `without` get no flag here and keep their default. A flag that several classes
    have is one flag, whose value all of them get.
    """
    return field(default_factory=kind, metadata={"nested": kind, "without": without})


def flag_of(spec: "Field[Any]") -> str:
    return spec.metadata.get("flag") or "--" + spec.name.replace("_", "-")


def env_of(spec: "Field[Any]") -> str:
    return "BATON_" + flag_of(spec).removeprefix("--").replace("-", "_").upper()


def plain(hint: Any) -> Any:
    """`int | None` is an optional int."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(arg for arg in get_args(hint) if arg is not type(None))
    return hint


@dataclass(frozen=True, slots=True)
class Setting:
    """One flag of a settings class."""

    spec: "Field[Any]"
    kind: Any  # the type without its None

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def flag(self) -> str:
        return flag_of(self.spec)

    @property
    def variables(self) -> tuple[str, ...]:
        """Of the environment; the first that is set counts."""
        return (env_of(self.spec), *self.spec.metadata.get("env", ()))

    @property
    def default(self) -> Any:
        return None if self.spec.default is MISSING else self.spec.default

    @property
    def required(self) -> bool:
        return self.spec.default is MISSING

    @property
    def several(self) -> bool:
        return get_origin(self.kind) is tuple

    @property
    def help(self) -> str:
        return str(self.spec.metadata.get("help", ""))

    @property
    def choices(self) -> tuple[str, ...]:
        return tuple(self.spec.metadata.get("choices", ()))

    def marked(self, what: str) -> bool:
        """`what`: secret, size or positional."""
        return bool(self.spec.metadata.get(what))


def settings_of(kind: type[Any]) -> list[Setting]:
    """Each flag once, those of nested classes included."""
    found: dict[str, Setting] = {}
    for one in _all(kind):
        found.setdefault(one.name, one)
    return list(found.values())


def variables_of(kind: type[Any]) -> frozenset[str]:
    """Every environment variable that the class reads."""
    return frozenset(name for one in settings_of(kind) for name in one.variables)


def _all(kind: type[Any]) -> Iterator[Setting]:
    hints = get_type_hints(kind)
    for spec in fields(kind):
        inner = spec.metadata.get("nested")
        if inner is None:
            yield Setting(spec, plain(hints[spec.name]))
        else:
            yield from (s for s in _all(inner) if s.name not in spec.metadata["without"])
