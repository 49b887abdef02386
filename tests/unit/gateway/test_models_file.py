"""The file of --models-file: what it may say, and what a gateway makes of it."""

import re
from pathlib import Path

import pytest

from baton.core.errors import SettingsError
from gateway.models.models_file import as_text
from gateway.settings import GatewaySettings

GOOD = """
models:
  - model: /models/b
    served-model-name: [b, org/b]
    chat-template: b.jinja
    override_generation_config: {temperature: 0.5}
  - model: org/c
    revision: main
"""


def told(tmp_path: Path, text: str, **flags: object) -> GatewaySettings:
    file = tmp_path / "models.yaml"
    file.write_text(text)
    given = {"model": "/models/a", **flags}
    return GatewaySettings(models_file=str(file), **given)  # type: ignore[arg-type]


def test_each_entry_is_a_model_with_the_flags_of_the_gateway(tmp_path: Path) -> None:
    settings = told(
        tmp_path, GOOD, chat_template="a.jinja", reasoning_parser="qwen3", max_logprobs=3
    )
    settings.check()
    first, second, third = settings.models
    assert first is settings
    assert (second.model, second.served_names) == ("/models/b", ("b", "org/b"))
    assert (second.chat_template, third.chat_template) == ("b.jinja", "")
    assert second.override_generation_config == {"temperature": 0.5}
    assert second.reasoning_parser == "auto"  # what flags say of a model is of the first one
    assert (second.max_logprobs, third.max_logprobs) == (3, 3)
    assert (third.served_names, third.hub.revision) == (("org/c",), "main")


def test_a_name_that_is_given_twice_is_one() -> None:
    assert GatewaySettings(model="/a", served_model_name=("x", "y", "x")).served_names == ("x", "y")


def test_without_a_model_of_the_flags_the_file_has_them_all(tmp_path: Path) -> None:
    settings = told(tmp_path, GOOD, model="", max_logprobs=3).with_first()
    settings.check()
    first, second = settings.models
    assert (first.model, first.served_names) == ("/models/b", ("b", "org/b"))
    assert (first.chat_template, first.max_logprobs) == ("b.jinja", 3)
    assert second.hub.revision == "main"
    with pytest.raises(
        SettingsError, match="--chat-template tells of the model that --model names"
    ):
        told(tmp_path, GOOD, model="", chat_template="a.jinja").with_first()


def test_the_text_itself_is_as_good_as_its_file() -> None:
    entries = [{"model": "/m", "served_model_name": ("x", "y"), "response_role": "bot"}]
    settings = GatewaySettings(model="/a", models_file=as_text(entries))
    assert settings.models[1].served_names == ("x", "y")
    assert settings.models[1].response_role == "bot"
    assert GatewaySettings(model="/a", models_file=as_text([])).models[1:] == ()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the file must have one key, `models:`"),
        ("models: {}", "models must be a list with one entry at least"),
        ("models: []", "models must be a list with one entry at least"),
        ("models: [b]", "models[0] must hold lines of the form"),
        ("models: [{served-model-name: b}]", "models[0].model is missing"),
        ("models: [{model: b, chat-templat: c}]", "chat-templat is no setting of an entry; did"),
        ("models: [{model: b, dtype: auto}]", "models[0].dtype is no setting of an entry"),
        ("models: [{model: b}, {model: c, api-key: k}]", "models[1].api-key is for all of them"),
        ("models: [{model: b, model: c}]", "model is there twice"),
        (
            "models: [{model: b, response-role: a, response_role: b}]",
            "response_role is there twice",
        ),
        ("models: [{model: 7}]", "models[0].model must be text, in quotes"),
        ("models: [{model: b, chat-template-content-format: x}]", "is not one of"),
        ("models: [{model: b, default-chat-template-kwargs: 3}]", "must be a mapping"),
        ("models: [", "it is not valid YAML"),
        ("models: [{model: /models/a}]", "/models/a is the name of two models"),
        ("models: [{model: b, served-model-name: x}, {model: x}]", "x is the name of two models"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_its_path(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(complaint)) as error:
        told(tmp_path, text).check()
    assert "--models-file" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = GatewaySettings(model="/a", models_file=str(tmp_path / "none.yaml"))
    with pytest.raises(
        SettingsError, match=r"cannot read --models-file .*none\.yaml: No such file"
    ):
        missing.check()


def test_the_gateway_of_one_worker_has_one_model(tmp_path: Path) -> None:
    bound = told(tmp_path, GOOD, worker="127.0.0.1:1", cluster_secret="s")
    with pytest.raises(SettingsError, match="--worker names the only worker"):
        bound.check()
