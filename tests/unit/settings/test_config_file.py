"""The file of --config: beneath flag and variable, checked key by key."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from baton.settings import SettingsCommand, nested, options, setting


@dataclass(frozen=True, slots=True)
class Inner:
    seconds: float = setting(1.0, "how long")
    origins: tuple[str, ...] = setting(("*",), "who")


@dataclass(frozen=True, slots=True)
class Example:
    model: str = setting("", "folder", positional=True)
    port: int = setting(8000, "port")
    pool: int = setting(1 << 30, "bytes", size=True)
    strict: bool = setting(False, "refuse")
    mode: str = setting("auto", "how", choices=("auto", "shm"))
    api_key: tuple[str, ...] = setting((), "keys", secret=True, env=("VLLM_API_KEY",))
    extra: dict[str, Any] | None = setting(None, "more")
    inner: Inner = nested(Inner)


def run(*words: str, env: dict[str, str] | None = None) -> tuple[list[Example], Result]:
    seen: list[Example] = []

    @click.command("example", cls=SettingsCommand)
    @options(Example)
    def command(settings: Example) -> None:
        seen.append(settings)

    return seen, CliRunner().invoke(command, words, env=env)


def parse(*words: str, env: dict[str, str] | None = None) -> Example:
    seen, result = run(*words, env=env)
    assert result.exit_code == 0, result.output
    return seen[0]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.yaml"
    path.write_text(
        "model: some/folder\nport: 9\npool: 4GiB\nstrict: true\nmode: shm\n"
        "api-key: [one, two]\nseconds: 2\norigins: http://a\nextra: {a: {b: 1}}\n"
    )
    return path


def test_the_file_sets_every_kind_of_field(file: Path) -> None:
    assert parse("--config", str(file)) == Example(
        model="some/folder",
        port=9,
        pool=4 << 30,
        strict=True,
        mode="shm",
        api_key=("one", "two"),
        extra={"a": {"b": 1}},
        inner=Inner(2.0, ("http://a",)),
    )


def test_the_flag_wins_then_the_variable_then_the_file(file: Path) -> None:
    env = {"BATON_CONFIG": str(file), "BATON_PORT": "10", "BATON_MODE": "auto"}
    seen = parse("--port", "11", "--no-strict", env=env)
    assert (seen.port, seen.mode, seen.strict, seen.pool) == (11, "auto", False, 4 << 30)


def test_keys_may_be_written_with_dashes_or_without(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("api_key: a\n--port: 5\n")
    assert parse("--config", str(path)) == Example(api_key=("a",), port=5)


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("# nothing\n")
    assert parse("--config", str(path)) == Example()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("prot: 5", "prot is no setting of example"),
        ("config: x", "config is no setting of example"),
        ("port: eight", "port must be a whole number, not 'eight'"),
        ("port: 8.5", "port must be a whole number, not 8.5"),
        ("port: true", "port must not be true"),
        ("port:", "port has no value"),
        ("port: 1\nport: 2", "port is there twice"),
        ("api-key: a\napi_key: b", "api_key is there twice"),
        ("api-key: 0123", "api-key must be text, in quotes"),
        ("model: 7", "model must be text, in quotes"),
        ("strict: 1", "strict must be true or false, not 1"),
        ("mode: tcp", "mode: 'tcp' is not one of 'auto', 'shm'"),
        ("pool: 4 apples", "pool: '4 apples' is no size"),
        ("seconds: [1]", "seconds must be a number, not [1]"),
        ("extra: 5", "extra must be a mapping, not 5"),
        ("- port", "must hold lines of the form"),
        ("port: [", "is not valid YAML"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_key(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    seen, result = run("--config", str(path))
    assert not seen
    assert result.exit_code == 78
    assert result.output.startswith("Error: ")
    assert str(path) in result.output
    assert sentence in result.output


def test_a_missing_file_is_told() -> None:
    _, result = run("--config", "/no/such/file")
    assert result.exit_code == 78
    assert "cannot read --config /no/such/file: No such file or directory" in result.output
