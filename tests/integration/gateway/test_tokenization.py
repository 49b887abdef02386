"""POST /tokenize and /detokenize, GET /tokenizer_info"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_reading import CHAT, HI

JSON = {"content-type": "application/json"}


@pytest.fixture
async def served(model_folder: Path) -> AsyncIterator[GatewayUnderTest]:
    async with running_gateway(model_folder) as gateway:
        await gateway.pair()
        yield gateway


async def tokenize(gateway: GatewayUnderTest, **fields: Any) -> Any:
    answer = await gateway.client.post("/tokenize", json=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refused(gateway: GatewayUnderTest, path: str, **fields: Any) -> str:
    answer = await gateway.client.post(path, json=fields)
    assert answer.status_code == 400, answer.text
    return str(answer.json()["error"]["param"])


async def test_a_text_becomes_tokens_and_comes_back(served: GatewayUnderTest) -> None:
    text = "Grüße 😀 hello<|im_end|>"
    told = await tokenize(served, prompt=text, model="tiny")
    assert told["count"] == len(told["tokens"])
    assert (told["max_model_len"], told["token_strs"]) == (1024, None)
    answer = await served.client.post("/detokenize", json={"tokens": told["tokens"]})
    assert answer.json() == {"prompt": text}


async def test_each_token_is_spelled_if_that_is_asked_for(served: GatewayUnderTest) -> None:
    told = await tokenize(served, prompt="hello world", return_token_strs=True)
    assert len(told["token_strs"]) == told["count"]
    assert "".join(told["token_strs"]) == "hello\u0120world"


async def test_messages_become_the_tokens_that_their_chat_would_have(
    served: GatewayUnderTest,
) -> None:
    for fields in ({}, {"add_generation_prompt": False}, {"continue_final_message": True}):
        answer = await served.client.post(
            CHAT, json={"messages": HI, "return_token_ids": True, **fields}
        )
        told = await tokenize(served, messages=HI, **fields)
        assert told["tokens"] == answer.json()["prompt_token_ids"]
    assert (await tokenize(served, messages=HI, truncate_prompt_tokens=2))["count"] == 2


async def test_a_text_may_be_longer_than_the_model_takes_but_not_endless(
    served: GatewayUnderTest,
) -> None:
    assert (await tokenize(served, prompt="hello " * 2000))["count"] > 1024
    assert await refused(served, "/tokenize", prompt="x" * 2_000_000) == "prompt"


async def test_what_cannot_be_tokenised_is_400(served: GatewayUnderTest) -> None:
    assert await refused(served, "/tokenize") == "prompt"
    assert await refused(served, "/tokenize", prompt="a", messages=HI) == "prompt"
    assert await refused(served, "/tokenize", prompt=5) == "prompt"
    assert await refused(served, "/tokenize", messages=[]) == "messages"
    assert await refused(served, "/tokenize", messages=HI, chat_template="x") == "chat_template"
    assert await refused(served, "/tokenize", messages=HI, tool_choice="auto") == "tool_choice"
    for tokens in ([512], [-1], ["a"], "a", [1.5], [[1]], [1 << 70]):
        assert await refused(served, "/detokenize", tokens=tokens) == "tokens"
    assert await refused(served, "/detokenize") == "tokens"


async def test_an_id_that_only_pads_the_vocabulary_has_no_text(served: GatewayUnderTest) -> None:
    answer = await served.client.post("/detokenize", json={"tokens": [511]})
    assert answer.json() == {"prompt": ""}
    assert (await served.client.post("/detokenize", json={"tokens": []})).json() == {"prompt": ""}


async def test_unknown_fields_and_models_are_told(served: GatewayUnderTest) -> None:
    answer = await served.client.post("/tokenize", json={"prompt": "a", "colour": 1})
    assert answer.headers["x-baton-ignored"] == "colour"
    answer = await served.client.post("/detokenize", json={"tokens": [], "model": "other"})
    assert answer.status_code == 404


@pytest.mark.parametrize("on", [True, False])
async def test_the_tokenizer_is_described_by_flag(model_folder: Path, on: bool) -> None:
    async with running_gateway(model_folder, enable_tokenizer_info_endpoint=on) as gateway:
        answer = await gateway.client.get("/tokenizer_info")
        assert answer.status_code == (200 if on else 404)
        if on:
            told = answer.json()
            assert told["eos_token"] == "<|im_end|>"
            assert "messages" in told["chat_template"]
            assert told["tokenizer_class"]
