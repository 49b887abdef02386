"""Sizes with a unit, and several words behind one flag or in one variable."""

import pytest

from baton.settings import as_environment, as_flags
from baton.settings.values import parse_size
from tests.unit.settings.test_config_file import Example, Inner, parse, run


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("4GiB", 4 << 30),
        ("512M", 512 << 20),
        ("512MB", 512_000_000),
        ("1k", 1000),
        ("1K", 1024),
        ("25.6k", 25_600),
        ("1.5GiB", 3 << 29),
        ("2TiB", 2 << 40),
        ("7B", 7),
    ],
)
def test_a_size_may_have_a_unit(text: str, size: int) -> None:
    assert parse_size(text) == size
    assert parse("--pool", text).pool == size


@pytest.mark.parametrize("text", ["", "GiB", "4 GiB", "1e9", "4gib", "0x10", "1.5", "٣", "1,5G"])
def test_what_is_no_size_is_refused(text: str) -> None:
    _, result = run("--pool", text)
    assert result.exit_code == 2
    assert "--pool" in result.output


def test_one_flag_takes_several_values() -> None:
    assert parse("--api-key", "a", "b", "--port", "5") == Example(api_key=("a", "b"), port=5)
    assert parse("--api_key", "a", "--api-key", "b", "c").api_key == ("a", "b", "c")
    assert parse("folder", "--api-key=a").api_key == ("a",)
    assert parse("--api-key=a", "folder") == Example(model="folder", api_key=("a",))
    assert parse("--api-key", "-a", "b").api_key == ("-a", "b")
    assert parse("--api-key", "a", "b", "--", "folder").model == "folder"
    assert parse("--origins", '["http://a", "http://b"]').inner.origins == ("http://a", "http://b")


@pytest.mark.parametrize("text", ["a b", "a,b", " a,\n b ", '["a", "b"]'])
def test_a_variable_holds_several_values(text: str) -> None:
    assert parse(env={"BATON_API_KEY": text}).api_key == ("a", "b")


def test_empty_words_are_dropped() -> None:
    assert parse("--api-key", "").api_key == ()
    assert parse(env={"BATON_API_KEY": ","}).api_key == ()


def test_the_other_servers_variable_is_read_where_ours_is_not_set() -> None:
    assert parse(env={"VLLM_API_KEY": "v"}).api_key == ("v",)
    assert parse(env={"VLLM_API_KEY": "v", "BATON_API_KEY": "b"}).api_key == ("b",)


def test_the_model_may_come_without_its_flag() -> None:
    assert parse("folder").model == "folder"
    assert parse("folder", env={"BATON_MODEL": "other"}).model == "folder"
    assert parse("folder", "--model", "folder").model == "folder"
    _, result = run("folder", "--model", "other")
    assert result.exit_code == 2
    assert "'folder' and --model 'other' are given" in result.output


def test_an_unknown_flag_gets_a_suggestion() -> None:
    _, result = run("--prot", "5")
    assert result.exit_code == 2
    assert "No such option '--prot'" in result.output
    assert "--port" in result.output


def test_help_names_flag_variable_and_default() -> None:
    _, result = run("--help")
    text = " ".join(result.output.split())
    assert "--port INTEGER port [env var: BATON_PORT; default: 8000]" in text
    assert "--api-key TEXT keys [env var: BATON_API_KEY, VLLM_API_KEY]" in text
    assert "--origins TEXT who [env var: BATON_ORIGINS; default: *]" in text


def test_settings_survive_the_way_to_a_child_and_secrets_take_the_environment() -> None:
    told = Example("m", 5, 1 << 20, True, "shm", ("a,b", "c d"), {"x": 1}, Inner(2.5, ("o", "p")))
    flags, environment = as_flags(told), as_environment(told)
    assert not any("a,b" in word or "api-key" in word for word in flags)
    assert parse(*flags, env=environment) == told
    assert "a,b" not in repr(told)
