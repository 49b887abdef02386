"""The demo model's chat template, rendered as the gateway renders it."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from baton.cluster.demo_model import FOLDER
from gateway.prompts.chat_template import parse_template
from gateway.prompts.content_format import ContentFormat

TEMPLATE = Path(FOLDER, "chat_template.jinja").read_text("utf-8")
QUESTION = {"role": "user", "content": "Hello"}
ANSWER = {"role": "assistant", "content": "Hi!"}
ASKED = "<|im_start|>user\nHello<|im_end|>\n"
OPEN = "<|im_start|>assistant\n"
NO_THOUGHT = "<think>\n\n</think>\n\n"

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"città": {"type": "string"}}},
    },
}


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    bare = Tokenizer(models.BPE())
    made = PreTrainedTokenizerFast(tokenizer_object=bare)  # type: ignore[no-untyped-call]
    made.chat_template = TEMPLATE
    return made


@pytest.fixture
def render(tokenizer: PreTrainedTokenizerFast) -> Any:
    def rendered(*messages: Any, tools: Any = None, ask: bool = True, **kwargs: Any) -> str:
        return str(
            tokenizer.apply_chat_template(
                list(messages), tools=tools, tokenize=False, add_generation_prompt=ask, **kwargs
            )
        )

    return rendered


def test_by_default_the_model_does_not_think(render: Any) -> None:
    assert render(QUESTION) == ASKED + OPEN + NO_THOUGHT
    assert render(QUESTION, enable_thinking=False) == ASKED + OPEN + NO_THOUGHT


def test_when_it_is_to_think_it_opens_the_thought_itself(render: Any) -> None:
    assert render(QUESTION, enable_thinking=True) == ASKED + OPEN


def test_earlier_answers_carry_no_thoughts(render: Any) -> None:
    thoughtful = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHi!", "reasoning": "hm"}
    expected = f"{ASKED}{OPEN}Hi!<|im_end|>\n{ASKED}{OPEN}{NO_THOUGHT}"
    assert render(QUESTION, thoughtful, QUESTION) == expected
    assert render(QUESTION, ANSWER, QUESTION) == expected


@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_system_prompt_comes_first(render: Any, role: str) -> None:
    prompt = {"role": role, "content": "Be brief."}
    assert render(prompt, QUESTION).startswith(f"<|im_start|>system\nBe brief.<|im_end|>\n{ASKED}")


def test_a_later_system_prompt_stays_where_it_is(render: Any) -> None:
    later = {"role": "developer", "content": "Be brief."}
    assert render(QUESTION, later, ask=False) == f"{ASKED}<|im_start|>system\nBe brief.<|im_end|>\n"


def test_content_may_come_in_parts(render: Any) -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    assert render({"role": "user", "content": parts}) == render(QUESTION)
    assert parse_template(TEMPLATE).format is ContentFormat.PARTS


def test_tools_stand_in_the_system_turn_one_a_line(render: Any) -> None:
    text = render({"role": "system", "content": "Be brief."}, QUESTION, tools=[WEATHER, WEATHER])
    system, _, rest = text.partition("<|im_end|>\n")
    assert system.startswith("<|im_start|>system\nBe brief.\n\n# Tools")
    lines = system.split("<tools>\n")[1].split("\n</tools>")[0].split("\n")
    assert [json.loads(line) for line in lines] == [WEATHER, WEATHER]
    assert "città" in system
    assert rest == ASKED + OPEN + NO_THOUGHT
    assert render(QUESTION, tools=[]) == render(QUESTION)


@pytest.mark.parametrize("arguments", [{"città": "Roma"}, '{"città": "Roma"}'])
def test_calls_and_results_are_rendered_as_the_model_writes_and_reads_them(
    render: Any, arguments: object
) -> None:
    call = {"type": "function", "id": "1", "function": {"name": "f", "arguments": arguments}}
    calling = {"role": "assistant", "content": None, "tool_calls": [call, call]}
    results = [{"role": "tool", "content": text, "tool_call_id": "1"} for text in ("18", "19")]
    written = '<tool_call>\n{"name": "f", "arguments": {"città": "Roma"}}\n</tool_call>'
    assert render(QUESTION, calling, *results, QUESTION, ask=False) == (
        f"{ASKED}{OPEN}{written}\n{written}<|im_end|>\n"
        "<|im_start|>user\n<tool_response>\n18\n</tool_response>\n"
        f"<tool_response>\n19\n</tool_response><|im_end|>\n{ASKED}"
    )


def test_words_before_a_call_stay(render: Any) -> None:
    call = {"function": {"name": "f", "arguments": {}}}
    turn = {"role": "assistant", "content": "I look.", "tool_calls": [call]}
    assert f"{OPEN}I look.\n<tool_call>" in render(QUESTION, turn, ask=False)
