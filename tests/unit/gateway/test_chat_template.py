"""Chat templates: the operator's, several of one model, one that came with the request; and what
each of them is told.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import TemplateError

from baton.core.errors import RequestError, SettingsError
from gateway.prompts.chat_template import ChatTemplates, parse_template
from gateway.prompts.content_format import ContentFormat, named_format
from gateway.prompts.rendering import RenderingRules
from gateway.prompts.tokenizer import ChatTokenizer, load_tokenizer
from gateway.schema.message import Message
from tests.support.gateway_rendering import HI, LIMITS, chat_prompt, chat_text, rendering_of
from tests.support.gateway_tokenizer import (
    TURNS,
    make_gemma_tokenizer_folder,
    make_tokenizer_folder,
)

LOUD = "{% if loud %}HEY {% endif %}{{ messages[0]['content'] }}"
EFFORT = "{{ reasoning_effort }} {{ enable_thinking }}"
TOOL = {"type": "function", "function": {"name": "look", "x": 1}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer_folder(tmp_path_factory.mktemp("model"))


def with_template(folder: Path, template: str) -> ChatTokenizer:
    return load_tokenizer(folder, template)


async def rendered(folder: Path, template: str, **fields: Any) -> str:
    return await chat_text(with_template(folder, template), **fields)


async def refused(tokenizer: ChatTokenizer, **fields: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        await chat_prompt(tokenizer, **fields)
    return caught.value


async def test_a_template_may_be_a_file_or_the_text_itself(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "chat.jinja"
    file.write_text(LOUD)
    assert await rendered(folder, str(file)) == await rendered(folder, LOUD) == "hi"
    assert await rendered(folder, "") != "hi"


async def test_a_template_is_told_the_operators_kwargs_and_the_requests_over_them(
    folder: Path,
) -> None:
    tokenizer = with_template(folder, LOUD)
    loud = RenderingRules(tokenizer.templates, {"loud": True})
    assert await chat_text(tokenizer, rules=loud) == "HEY hi"
    assert await chat_text(tokenizer, rules=loud, chat_template_kwargs={"loud": False}) == "hi"
    assert await chat_text(tokenizer, chat_template_kwargs={"loud": 1}) == "HEY hi"


def test_what_cannot_be_used_stops_the_start(folder: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read --chat-template /no/such: No such file"):
        load_tokenizer(folder, "/no/such")
    with pytest.raises(SettingsError, match="the chat template does not parse"):
        load_tokenizer(folder, "{% if %}")
    for name in ("add_generation_prompt", "tools", "tokenize", "messages"):
        with pytest.raises(SettingsError, match=f"kwargs cannot set {name}"):
            RenderingRules(ChatTemplates("x"), {name: False})


@pytest.mark.parametrize("name", ["chat_template", "tokenize", "messages", "return_dict"])
async def test_kwargs_that_are_not_for_templates_are_refused(folder: Path, name: str) -> None:
    tokenizer = with_template(folder, LOUD)
    with pytest.raises(ValueError, match="cannot be set here"):
        await chat_prompt(tokenizer, chat_template_kwargs={name: "x"})


async def test_what_the_template_does_not_read_is_named(folder: Path) -> None:
    tokenizer = with_template(folder, LOUD)
    rendering = rendering_of(
        tokenizer,
        tools=[TOOL],
        documents=[{"text": "a"}],
        reasoning_effort="low",
        chat_template_kwargs={"loud": True, "quiet": True, "add_generation_prompt": False},
    )
    assert rendering.unread == (
        *("tools", "documents", "reasoning_effort"),
        "chat_template_kwargs.quiet",
    )
    assert rendering.variables["loud"] is True
    assert "quiet" not in rendering.variables


@pytest.mark.parametrize(
    ("effort", "kwargs", "told"),
    [
        ("low", {}, "low True"),
        ("none", {}, "none False"),
        ("xhigh", {"enable_thinking": False}, "xhigh False"),
        ("minimal", {"reasoning_effort": "mine"}, "mine True"),
        (None, {}, " "),
    ],
)
async def test_reasoning_effort_is_told_and_decides_about_thinking(
    folder: Path, effort: str | None, kwargs: Any, told: str
) -> None:
    fields = {"reasoning_effort": effort, "chat_template_kwargs": kwargs}
    assert await rendered(folder, EFFORT, **fields) == told


async def test_reasoning_effort_wins_over_the_operators_kwargs(folder: Path) -> None:
    tokenizer = with_template(folder, EFFORT)
    rules = RenderingRules(tokenizer.templates, {"enable_thinking": False})
    assert await chat_text(tokenizer, rules=rules) == " False"
    assert await chat_text(tokenizer, rules=rules, reasoning_effort="max") == "max True"


async def test_documents_are_shown(folder: Path) -> None:
    template = "{% for d in documents %}{{ d['title'] }};{% endfor %}"
    documents = [{"title": "a"}, {"title": "b"}]
    assert await rendered(folder, template, documents=documents) == "a;b;"


async def test_tools_are_shown_as_they_were_written(folder: Path) -> None:
    template = "{{ tools | tojson if tools else 'no tools' }}"
    shown = '[{"type": "function", "function": {"name": "look", "x": 1}}]'
    assert await rendered(folder, template, tools=[TOOL]) == shown
    assert await rendered(folder, template, tools=[TOOL], tool_choice="none") == shown
    assert await rendered(folder, template, tools=[]) == "no tools"
    assert await rendered(folder, template) == "no tools"


async def test_a_call_that_was_made_is_shown_with_its_arguments_as_an_object(folder: Path) -> None:
    template = (
        "{% for m in messages %}{% for c in m.tool_calls or [] %}"
        "{{ c.function.name }} {{ c.function.arguments.city | upper }}{% endfor %}"
        "{{ m.tool_call_id }}{{ m.content }};{% endfor %}"
    )
    arguments = '{"city": "Köln"}'
    made = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    chat = [
        {"role": "assistant", "content": None, "tool_calls": [made]},
        {"role": "tool", "tool_call_id": "c1", "content": "22"},
    ]
    messages = [Message.model_validate(message) for message in chat]
    assert await chat_text(with_template(folder, template), messages) == "f KÖLN;c122;"


async def test_unused_tools_can_be_hidden(folder: Path) -> None:
    tokenizer = with_template(folder, "{{ 'tools' if tools else 'no tools' }}")
    rules = RenderingRules(tokenizer.templates, hides_unused_tools=True)
    assert await chat_text(tokenizer, rules=rules, tools=[TOOL]) == "tools"
    hidden = await chat_text(tokenizer, rules=rules, tools=[TOOL], tool_choice="none")
    assert hidden == "no tools"


def test_of_several_templates_the_one_for_tools_is_used_with_tools() -> None:
    templates = ChatTemplates({"default": "d", "tool_use": "t", "other": "o"})
    assert [getattr(templates.choose(tools), "text", "") for tools in (False, True)] == ["d", "t"]
    only = ChatTemplates({"default": "d"})
    assert [getattr(only.choose(tools), "text", "") for tools in (False, True)] == ["d", "d"]
    assert ChatTemplates(None).choose(False) is None


async def test_a_template_that_sets_tools_itself_still_reads_them() -> None:
    template = "{% if not tools is defined %}{% set tools = none %}{% endif %}{{ tools }}"
    assert "tools" in parse_template(template).variables


PIECES = [
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "if a",
    "endif",
    "for x in y",
    "endfor",
    "'",
    "(",
    "[",
]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=9), max_size=30).map(" ".join))
def test_any_text_is_a_template_or_is_refused_as_one(text: str) -> None:
    with suppress(TemplateError):
        parse_template(text)


@pytest.mark.parametrize("text", ["{{ " + "9" * 5000 + " }}", "{{ 1e999 }}", "{{" + "(" * 9000])
def test_a_literal_without_end_is_no_defect_of_ours(text: str) -> None:
    with suppress(TemplateError):
        parse_template(text)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("auto", "STRING"), ("string", "STRING"), ("openai", "PARTS")],
)
def test_the_operator_may_say_how_content_is_given(name: str, expected: str) -> None:
    template = ChatTemplates("{{ messages }}", named_format(name)).choose(False)
    assert template is not None
    assert template.format is ContentFormat[expected]


async def test_without_a_generation_prompt_the_answer_has_the_last_role(
    tokenizer: ChatTokenizer,
) -> None:
    assert (await chat_text(tokenizer)).endswith("assistant\n")
    assert not (await chat_text(tokenizer, add_generation_prompt=False)).endswith("assistant\n")
    assert rendering_of(tokenizer).role == "assistant"
    assert rendering_of(tokenizer, add_generation_prompt=False).role == "user"
    kwargs = {"add_generation_prompt": False}
    assert rendering_of(tokenizer, chat_template_kwargs=kwargs).role == "user"
    named = RenderingRules(tokenizer.templates, role="model")
    assert rendering_of(tokenizer, rules=named).role == "model"


@pytest.mark.parametrize("fields", [{}, {"add_generation_prompt": False}])
async def test_the_final_message_can_be_continued(tokenizer: ChatTokenizer, fields: Any) -> None:
    begun = [*HI, Message.model_validate({"role": "assistant", "content": "I am"})]
    text = await chat_text(tokenizer, begun, continue_final_message=True, **fields)
    assert text.endswith("assistant\nI am")
    assert rendering_of(tokenizer, begun, continue_final_message=True).role == "assistant"


async def test_continuing_and_beginning_contradict_each_other(tokenizer: ChatTokenizer) -> None:
    both = {"continue_final_message": True, "add_generation_prompt": True}
    assert (await refused(tokenizer, **both)).param == "continue_final_message"


async def test_a_template_that_loses_the_final_message_cannot_continue_it(folder: Path) -> None:
    tokenizer = with_template(folder, "{{ messages[0]['content'][0:1] }}")
    error = await refused(tokenizer, continue_final_message=True)
    assert error.param == "continue_final_message"


@pytest.mark.parametrize("template", ["{{ 1 // x }}", "{{ x.y.z }}", "{{ messages[9].content }}"])
async def test_a_template_that_stumbles_over_what_it_is_told_is_400(
    folder: Path, template: str
) -> None:
    error = await refused(with_template(folder, template), chat_template_kwargs={"x": 0})
    assert error.param == "messages"


async def test_special_tokens_can_be_added(tmp_path: Path) -> None:
    config = {
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "chat_template": TURNS.replace("{{ bos_token }}", ""),
    }
    files: dict[str, object] = {"tokenizer_config.json": config}
    tokenizer = load_tokenizer(make_gemma_tokenizer_folder(tmp_path / "gemma", files))
    assert (await chat_prompt(tokenizer)).count(2) == 0
    assert (await chat_prompt(tokenizer, add_special_tokens=True))[0] == 2
    assert (await tokenizer.tokens_of(["hi"], LIMITS))[0][0] == 2
    assert 2 not in (await tokenizer.tokens_of(["hi"], LIMITS, add_special_tokens=False))[0]
