"""A settings class becomes flags, environment variables and help; and back into flags."""

from dataclasses import dataclass

import click
import pytest
from click.testing import CliRunner

from baton.settings import as_flags, options, setting


@dataclass(frozen=True, slots=True)
class Example:
    host: str = setting("127.0.0.1", "address to listen on")
    max_model_len: int | None = setting(None, "tokens")
    served_model_name: tuple[str, ...] = setting((), "names")
    strict: bool = setting(False, "refuse")
    mode: str = setting("auto", "how", choices=("auto", "shm"))


def parse(arguments: list[str], environment: dict[str, str] | None = None) -> Example:
    seen: list[Example] = []

    @click.command()
    @options(Example)
    def command(settings: Example) -> None:
        seen.append(settings)

    result = CliRunner(env=environment).invoke(command, arguments)
    if result.exit_code:
        raise ValueError(result.output)
    return seen[0]


def test_without_flags_every_field_has_its_default() -> None:
    assert parse([]) == Example()


def test_flags_set_fields() -> None:
    flags = ["--host", "::1", "--max-model-len", "9", "--strict", "--mode", "shm"]
    flags += ["--served-model-name", "a", "--served-model-name", "b"]
    assert parse(flags) == Example("::1", 9, ("a", "b"), True, "shm")


def test_the_environment_sets_fields_and_flags_win() -> None:
    environment = {"BATON_MAX_MODEL_LEN": "5", "BATON_HOST": "::1", "BATON_STRICT": "1"}
    assert parse(["--host", "h"], environment) == Example("h", 5, strict=True)


@pytest.mark.parametrize("flags", [["--max-model-len", "x"], ["--mode", "no"], ["--nope"]])
def test_a_wrong_value_is_refused_with_the_flags_name(flags: list[str]) -> None:
    with pytest.raises(ValueError, match=flags[0]):
        parse(flags)


def test_settings_survive_the_way_through_a_command_line() -> None:
    settings = Example("::1", 9, ("a", "b"), True, "shm")
    assert parse(as_flags(settings)) == settings
    assert as_flags(Example()) == []
