"""Stop strings, reasoning and log-probabilities through a real gateway, from scripted workers."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from baton.core.token_record import FinishReason, PromptLogprobs, TokenLogprobs, TokenRecord
from baton.rpc.wire import prompt_logprobs_to_pb
from baton.v1 import decode_pb2, prefill_pb2
from gateway.prompts.tokenizer import ChatTokenizer, load_tokenizer
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_fake_workers import (
    ADMITTED,
    FINISHED,
    RELEASED,
    RESERVED,
    answering,
    decoded,
    prefilled,
    prefilling,
)
from tests.support.gateway_reading import CHAT, HI, TEXT, events, read_chat
from tests.support.gateway_tokenizer import CHATML, END_OF_TURN, SPECIALS, make_tokenizer_folder

THINKING = CHATML + "{% if add_generation_prompt %}<think>\n{% endif %}{# </think> #}"


@pytest.fixture(scope="module")
def tokenizer(model_folder: Path) -> ChatTokenizer:
    return load_tokenizer(model_folder)


@pytest.fixture
async def served(model_folder: Path) -> AsyncIterator[GatewayUnderTest]:
    async with running_gateway(model_folder) as gateway:
        await gateway.pair()
        yield gateway


def ids_of(tokenizer: ChatTokenizer, text: str) -> list[int]:
    return tokenizer._encode(text, False)


def answer_with(gateway: GatewayUnderTest, ids: list[int], finish: FinishReason) -> None:
    prefill, decode = gateway.workers
    prefill.prefill_script = prefilling(ids[:1])
    decode.decode_script = answering(ids, finish)


def answer_forever(gateway: GatewayUnderTest, ids: list[int], more: list[int]) -> None:
    """Choice 0 gets `ids` and then nothing more, unless it is stopped; other choices get `more`."""
    prefill, decode = gateway.workers

    async def script(request: Any) -> AsyncIterator[decode_pb2.GenerateResponse]:
        yield RESERVED
        start, n = len(request.prompt_token_ids), request.sampling.n
        for i in range(max(len(ids), len(more))):
            rows = [ids, *[more] * (n - 1)]
            yield decoded(
                [TokenRecord(c, start + i, r[i]) for c, r in enumerate(rows) if i < len(r)]
            )
        await asyncio.Event().wait()

    async def first(request: Any) -> AsyncIterator[prefill_pb2.PrefillResponse]:
        yield ADMITTED
        start, n = len(request.prompt_token_ids), request.sampling.n
        rows = [ids, *[more] * (n - 1)]
        yield prefilled([TokenRecord(c, start, row[0]) for c, row in enumerate(rows)])
        yield RELEASED

    prefill.prefill_script, decode.decode_script = first, script


async def metric(gateway: GatewayUnderTest, name: str) -> float:
    page = (await gateway.client.get("/metrics")).text
    return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith(name))


async def read(gateway: GatewayUnderTest, body: dict[str, Any], stream: bool) -> Any:
    """(text, finish reason, stop reason, token ids) of each choice, and the usage."""
    options: dict[str, Any] = {"stream": stream}
    if stream:
        options["stream_options"] = {"include_usage": True}
    response = await gateway.client.post(CHAT, json=body | options)
    assert response.status_code == 200, response.text
    if not stream:
        whole = response.json()
        told = [
            (c["message"]["content"], c["finish_reason"], c["stop_reason"], c["token_ids"])
            for c in whole["choices"]
        ]
        return told, whole["usage"]
    chunks = events(response.text)
    reasons = {
        c["index"]: c["stop_reason"]
        for chunk in chunks
        for c in chunk["choices"]
        if c["finish_reason"]
    }
    choices = sorted(read_chat(chunks).items())
    return [(r.content, *r.finish_reasons, reasons[i], r.token_ids) for i, r in choices], chunks[
        -1
    ]["usage"]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_stop_string_stops_the_workers(
    served: GatewayUnderTest, tokenizer: ChatTokenizer, stream: bool
) -> None:
    ids = ids_of(tokenizer, "the quick brown fox")
    answer_forever(served, ids, [])
    body = {"messages": HI, "stop": "brown", "return_token_ids": True}
    ((text, finish, stop, told),), usage = await read(served, body, stream)
    assert (text, finish, stop) == ("the quick ", "stop", "brown")
    assert told == ids[: len(told)]
    assert usage["completion_tokens"] == len(told)
    assert usage["prompt_tokens_details"] == {"cached_tokens": 3}
    call = await served.workers[1].calls.number(0)
    async with asyncio.timeout(30):
        await call.cancelled.wait()
    await served.until_idle()
    assert await metric(served, "vllm:request_success_total") == 1
    assert await metric(served, 'vllm:request_success_total{engine="0",finished_reason="stop"') == 1
    assert await metric(served, "vllm:generation_tokens_total") == len(told)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_stop_string_in_the_first_token_needs_no_decode(
    served: GatewayUnderTest, tokenizer: ChatTokenizer, stream: bool
) -> None:
    (first,) = ids_of(tokenizer, "x")
    answer_forever(served, [first], [])
    body = {"messages": HI, "stop": ["x"], "include_stop_str_in_output": True}
    ((text, finish, stop, _),), usage = await read(served, body, stream)
    assert (text, finish, stop, usage["completion_tokens"]) == ("x", "stop", "x", 1)
    async with asyncio.timeout(30):
        await (await served.workers[1].calls.number(0)).cancelled.wait()


@pytest.mark.parametrize("stream", [True, False])
async def test_one_choice_stops_while_another_goes_on(
    served: GatewayUnderTest, tokenizer: ChatTokenizer, stream: bool
) -> None:
    stopped = ids_of(tokenizer, "a stop here and much more of it")
    other = ids_of(tokenizer, "it goes on and on until the stop")
    answer_forever(served, stopped, other)
    body = {"messages": HI, "stop": ["stop"], "n": 2, "return_token_ids": True}
    (first, second), usage = await read(served, body, stream)
    assert first[:3] == ("a ", "stop", "stop")
    assert second[:3] == ("it goes on and on until the ", "stop", "stop")
    assert first[3] == stopped[: len(first[3])]
    assert usage["completion_tokens"] == len(first[3]) + len(second[3])
    assert await metric(served, "vllm:generation_tokens_total") == usage["completion_tokens"]
    assert await metric(served, 'vllm:request_success_total{engine="0",finished_reason="stop"') == 2


async def test_several_prompts_stop_each_by_itself(
    served: GatewayUnderTest, tokenizer: ChatTokenizer
) -> None:
    answer_forever(served, ids_of(tokenizer, "one two three"), [])
    body = {"prompt": ["a", "b", "c"], "stop": "two"}
    whole = (await served.client.post(TEXT, json=body)).json()
    assert [choice["text"] for choice in whole["choices"]] == ["one "] * 3
    assert [choice["stop_reason"] for choice in whole["choices"]] == ["two"] * 3
    await served.until_idle()


async def test_a_stop_token_that_is_not_the_primary_one_is_the_reason(
    served: GatewayUnderTest, tokenizer: ChatTokenizer
) -> None:
    answer_with(served, [*ids_of(tokenizer, "hi"), 0], FinishReason.STOP)
    for stream in (True, False):
        ((text, finish, stop, _),), _ = await read(served, {"messages": HI}, stream)
        assert (text, finish, stop) == ("hi", "stop", 0)
    answer_with(served, [*ids_of(tokenizer, "hi"), END_OF_TURN], FinishReason.STOP)
    ((_, _, stop, _),), _ = await read(served, {"messages": HI}, False)
    assert stop is None


@pytest.mark.parametrize("stream", [True, False])
async def test_special_tokens_show_when_asked_for(
    served: GatewayUnderTest, tokenizer: ChatTokenizer, stream: bool
) -> None:
    answer_with(served, [*ids_of(tokenizer, "hi"), 1, END_OF_TURN], FinishReason.STOP)
    shown = {"messages": HI, "skip_special_tokens": False}
    ((text, *_),), _ = await read(served, shown, stream)
    assert text == "hi" + SPECIALS[1]
    all_of_it = shown | {"include_stop_str_in_output": True}
    ((text, *_),), _ = await read(served, all_of_it, stream)
    assert text == "hi" + SPECIALS[1] + SPECIALS[2]


async def thinking_answer(
    gateway: GatewayUnderTest, body: dict[str, Any]
) -> tuple[dict[str, Any], list[Any]]:
    """The whole answer, and the chunks of the stream."""
    whole = (await gateway.client.post(CHAT, json=body)).json()
    options = {"stream": True, "stream_options": {"include_usage": True}}
    return whole, events((await gateway.client.post(CHAT, json=body | options)).text)


def joined(chunks: list[Any], key: str) -> str:
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return "".join(delta.get(key) or "" for delta in deltas)


async def test_reasoning_that_the_template_opens_is_told_apart(tmp_path: Path) -> None:
    folder = make_tokenizer_folder(tmp_path / "model", THINKING)
    ids = ids_of(load_tokenizer(folder), "hm, so\n</think>\n\nhello")
    async with running_gateway(folder) as gateway:
        await gateway.pair()
        answer_with(gateway, [*ids, END_OF_TURN], FinishReason.STOP)
        whole, chunks = await thinking_answer(gateway, {"messages": HI})
        message = whole["choices"][0]["message"]
        assert message["reasoning"] == message["reasoning_content"] == "hm, so\n"
        assert message["content"] == "\n\nhello"
        for key in ("reasoning", "reasoning_content", "content"):
            assert joined(chunks, key) == message[key]
        details = whole["usage"]["completion_tokens_details"]
        assert 0 < details["reasoning_tokens"] < whole["usage"]["completion_tokens"]
        assert chunks[-1]["usage"]["completion_tokens_details"] == details

        quiet = {"messages": HI, "include_reasoning": False, "return_token_ids": True}
        whole, chunks = await thinking_answer(gateway, quiet)
        assert whole["choices"][0]["message"]["reasoning"] is None
        assert joined(chunks, "reasoning") == ""
        assert joined(chunks, "content") == whole["choices"][0]["message"]["content"] == "\n\nhello"
        told = [t for c in chunks for choice in c["choices"] for t in choice.get("token_ids") or []]
        hidden = details["reasoning_tokens"]
        assert told == whole["choices"][0]["token_ids"] == [*ids, END_OF_TURN][hidden:]
        assert whole["usage"]["completion_tokens"] == len(ids) + 1


async def test_a_parser_that_is_turned_off_leaves_the_text_alone(tmp_path: Path) -> None:
    folder = make_tokenizer_folder(tmp_path / "model", THINKING)
    ids = ids_of(load_tokenizer(folder), "hm</think>hello")
    async with running_gateway(folder, reasoning_parser="none") as gateway:
        await gateway.pair()
        answer_with(gateway, ids, FinishReason.LENGTH)
        whole, chunks = await thinking_answer(gateway, {"messages": HI})
        message = whole["choices"][0]["message"]
        assert message["content"] == joined(chunks, "content") == "hm</think>hello"
        assert message["reasoning"] is None
        assert "completion_tokens_details" not in whole["usage"]


def scored_scripts(gateway: GatewayUnderTest, ids: list[int]) -> None:
    """Every token with the alternatives (40, -0.5) and (41, -inf); the prompt likewise."""
    top = ((40, -0.5), (41, float("-inf")))
    prefill, decode = gateway.workers

    def rows(request: Any) -> list[TokenRecord]:
        start, last = len(request.prompt_token_ids), len(ids) - 1
        scores = TokenLogprobs(-1.5, 3, top)
        return [
            TokenRecord(0, start + i, t, FinishReason.LENGTH if i == last else None, scores)
            for i, t in enumerate(ids)
        ]

    async def first(request: Any) -> AsyncIterator[prefill_pb2.PrefillResponse]:
        yield ADMITTED
        if request.sampling.HasField("prompt_logprobs"):
            count = len(request.prompt_token_ids) - 1
            scores = PromptLogprobs(1, (TokenLogprobs(-2.5, 4, top),) * count)
            yield prefill_pb2.PrefillResponse(prompt_logprobs=prompt_logprobs_to_pb(scores))
        yield prefilled(rows(request)[:1])
        yield RELEASED

    async def others(request: Any) -> AsyncIterator[decode_pb2.GenerateResponse]:
        yield RESERVED
        for row in rows(request):
            yield decoded([row])
        yield FINISHED

    prefill.prefill_script, decode.decode_script = first, others


async def test_log_probabilities_are_the_same_in_a_stream_and_have_true_bytes(
    served: GatewayUnderTest, tokenizer: ChatTokenizer
) -> None:
    ids = [*ids_of(tokenizer, "hi \u20ac"), END_OF_TURN]
    scored_scripts(served, ids)
    body = {"messages": HI, "logprobs": True, "top_logprobs": 2}
    whole, chunks = await thinking_answer(served, body)
    entries = whole["choices"][0]["logprobs"]["content"]
    streamed = [
        entry
        for chunk in chunks
        for choice in chunk["choices"]
        if choice["logprobs"]
        for entry in choice["logprobs"]["content"]
    ]
    assert streamed == entries
    assert len(entries) == whole["usage"]["completion_tokens"] == len(ids)
    raw = bytes(byte for entry in entries for byte in entry["bytes"])
    assert raw.decode() == whole["choices"][0]["message"]["content"] + SPECIALS[2]
    assert [best["logprob"] for best in entries[0]["top_logprobs"]] == [-0.5, -9999.0]
    sampling = served.workers[0].calls.all[0].request.sampling
    assert sampling.logprobs == 2


async def test_an_echoed_chat_has_its_last_message_and_its_prompts_log_probabilities(
    served: GatewayUnderTest, tokenizer: ChatTokenizer
) -> None:
    scored_scripts(served, ids_of(tokenizer, "lo"))
    parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "hel"}]
    for content, echoed in (("hel", "hel"), (parts, "hel\nhel")):
        said = [*HI, {"role": "assistant", "content": content}]
        whole, chunks = await thinking_answer(served, {"messages": said, "echo": True})
        text = whole["choices"][0]["message"]["content"]
        assert text == joined(chunks, "content") == echoed + "lo"
        assert len(whole["prompt_logprobs"]) == whole["usage"]["prompt_tokens"]
        assert whole["prompt_logprobs"][0] is None
    other, chunks = await thinking_answer(served, {"messages": HI, "echo": True})
    assert other["choices"][0]["message"]["content"] == joined(chunks, "content") == "lo"


Body = dict[str, Any]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("ids", [True, False])
async def test_an_echoed_completion_has_the_prompts_tokens_too(
    served: GatewayUnderTest, tokenizer: ChatTokenizer, stream: bool, ids: bool
) -> None:
    scored_scripts(served, ids_of(tokenizer, "x"))
    prompt = ids_of(tokenizer, "the fox")
    body: Body = {"prompt": prompt if ids else "the fox", "echo": True, "logprobs": 1}
    response = await served.client.post(TEXT, json=body | {"stream": stream})
    assert response.status_code == 200, response.text
    choice = (events(response.text)[0] if stream else response.json())["choices"][0]
    assert choice["text"] == "the foxx"
    lists = choice["logprobs"]
    assert len(lists["tokens"]) == len(prompt) + 1
    assert lists["token_logprobs"][:2] == [None, -2.5]
    assert lists["text_offset"][-1] == len("the fox")
    assert [len(best) for best in lists["top_logprobs"][1:]] == [2] * len(prompt)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_prompt_can_be_scored_without_an_answer(
    served: GatewayUnderTest, tokenizer: ChatTokenizer, stream: bool
) -> None:
    scored_scripts(served, ids_of(tokenizer, "more"))
    body: Body = {"prompt": "the fox", "echo": True, "logprobs": 0, "max_tokens": 0}
    body |= {"stream": stream, "stream_options": {"include_usage": True}} if stream else {}
    response = await served.client.post(TEXT, json=body)
    chunks = events(response.text) if stream else [response.json()]
    choice, usage = chunks[0]["choices"][0], chunks[-1]["usage"]
    assert (choice["text"], choice["finish_reason"]) == ("the fox", "length")
    assert len(choice["logprobs"]["tokens"]) == usage["prompt_tokens"]
    assert usage["completion_tokens"] == 0


async def test_an_interval_makes_fewer_chunks_of_the_same_text(
    model_folder: Path, tokenizer: ChatTokenizer
) -> None:
    ids = ids_of(tokenizer, "zyxwvutsrq")
    async with running_gateway(model_folder, stream_interval=4) as gateway:
        await gateway.pair()
        answer_with(gateway, ids, FinishReason.LENGTH)
        body = {"messages": HI, "stream": True, "return_token_ids": True}
        chunks = events((await gateway.client.post(CHAT, json=body)).text)
        sizes = [len(chunk["choices"][0].get("token_ids") or []) for chunk in chunks]
        assert sizes[:2] == [0, 1]
        assert set(sizes[2:-1]) == {4}
        assert sum(sizes) == len(ids)
        assert read_chat(chunks)[0].content == "zyxwvutsrq"


async def test_the_answers_role_can_be_chosen(model_folder: Path) -> None:
    async with running_gateway(model_folder, response_role="model") as gateway:
        await gateway.pair()
        whole, chunks = await thinking_answer(gateway, {"messages": HI})
        assert whole["choices"][0]["message"]["role"] == "model"
        assert read_chat(chunks)[0].roles == ["model"]
