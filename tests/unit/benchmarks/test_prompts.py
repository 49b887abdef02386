"""What the load client asks for and what it counts as a token."""

import random
from typing import Any

import pytest

from benchmarks.prompts import Shape, body, brings_tokens


def test_completions_get_exactly_so_many_token_ids_from_the_range() -> None:
    wanted = body(Shape("completions", 200, 7, (5, 9)), "tiny", random.Random(1))
    assert len(wanted["prompt"]) == 200
    assert set(wanted["prompt"]) == {5, 6, 7, 8}
    assert (wanted["max_tokens"], wanted["temperature"], wanted["ignore_eos"]) == (7, 0, True)
    assert wanted["stream_options"] == {"include_usage": True}


def test_chat_gets_so_many_words() -> None:
    wanted = body(Shape("chat", 30, 7, (5, 9)), "tiny", random.Random(1))
    assert len(wanted["messages"][0]["content"].split()) == 30


def test_the_same_seed_makes_the_same_prompts() -> None:
    shape = Shape("completions", 20, 7, (0, 1000))
    one, two, other = (body(shape, "tiny", random.Random(seed)) for seed in (1, 1, 2))
    assert one == two != other


@pytest.mark.parametrize(
    ("choice", "counts"),
    [
        ({"delta": {"role": "assistant", "content": ""}}, False),
        ({"delta": {"role": "assistant", "content": "Hi"}}, True),
        ({"delta": {"content": "Hi"}, "finish_reason": None}, True),
        ({"delta": {"content": ""}, "finish_reason": None}, True),
        ({"delta": {}, "finish_reason": "length"}, False),
        ({"delta": {"content": "!"}, "finish_reason": "length"}, True),
        ({"text": "Hi", "finish_reason": None}, True),
        ({"text": "", "finish_reason": None}, True),
        ({"text": "", "finish_reason": "length"}, False),
    ],
)
def test_a_message_counts_when_it_brought_tokens(choice: dict[str, Any], counts: bool) -> None:
    assert brings_tokens({"choices": [choice]}) is counts


def test_the_usage_message_brings_no_tokens() -> None:
    assert not brings_tokens({"choices": [], "usage": {"completion_tokens": 3}})
