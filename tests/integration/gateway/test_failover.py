"""Workers that die after any token: the client's answer is the one of a run that nothing disturbed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from baton.core.errors import (
    UnavailableError,
)
from baton.core.token_record import FinishReason
from baton.core.worker_info import Role
from baton.v1 import decode_pb2
from gateway.members.worker import Worker
from gateway.prompts.tokenizer import ChatTokenizer
from tests.support.gateway_cluster import GatewayUnderTest
from tests.support.gateway_fake_workers import RESERVED, decoded
from tests.support.gateway_mortal_workers import FakeModel, MortalWorkers
from tests.support.gateway_reading import CHAT, HI, TEXT
from tests.support.gateway_tokenizer import END_OF_TURN
from tests.support.mortal_pairs import (
    SEED,
    STREAM,
    USAGE,
    failovers,
    forget,
    ids_of,
    plain,
    post,
    requests,
)

pytestmark = pytest.mark.usefixtures("soon_forgotten")

CALL = '{"name": "weather", "arguments": {"city": "Rome", "days": [1, 2]}}'


TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}


CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "plain": (CHAT, "</think>hello world, 東京 😀 café", {}),
    "reasoning": (CHAT, "let me think\n</think>\n\nhello", {}),
    "hidden reasoning": (CHAT, "let me think\n</think>\n\nhello", {"include_reasoning": False}),
    "stop string": (CHAT, "</think>the quick brown fox", {"stop": ["quick brown"]}),
    "log-probabilities": (CHAT, "</think>the quick", {"logprobs": True, "top_logprobs": 1}),
    "token ids": (CHAT, "so\n</think>the quick", {"return_token_ids": True}),
    "tools": (CHAT, f"</think>now <tool_call>\n{CALL}\n</tool_call>", {"tools": [TOOL]}),
    "json": (CHAT, '</think>{"a": [1, 2]}', {"response_format": {"type": "json_object"}}),
    "echo": (TEXT, "brown fox", {"prompt": "the quick ", "echo": True}),
    "penalties": (TEXT, "brown fox", {"prompt": "the", "min_tokens": 2, "presence_penalty": 1}),
    "text": (TEXT, "brown fox", {"prompt": [5, 6, 7]}),
}


@pytest.mark.parametrize("case", CASES)
async def test_whatever_is_asked_for_goes_on_as_if_nothing_had_happened(
    two_pairs: GatewayUnderTest, tokenizer: ChatTokenizer, case: str
) -> None:
    path, text, fields = CASES[case]
    body = {"messages": HI, **fields} if path == CHAT else fields
    ids = [*ids_of(tokenizer, text), END_OF_TURN]
    workers = MortalWorkers(FakeModel({SEED: ids}))
    workers.serve(two_pairs)
    whole = plain((await post(two_pairs, path, body)).text)
    streamed = plain((await post(two_pairs, path, body | USAGE)).text)
    for steps in range(len(ids)):
        workers.decode_deaths.append(steps)
        assert plain((await post(two_pairs, path, body | USAGE)).text) == streamed
    for steps in (0, 1, len(ids) // 2, len(ids) - 1):  # it is the same, folded
        workers.decode_deaths.append(steps)
        assert plain((await post(two_pairs, path, body)).text) == whole
    workers.decode_deaths += [1] * min(len(ids) - 2, 3)  # each gains one
    assert plain((await post(two_pairs, path, body | USAGE)).text) == streamed


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages"])
async def test_the_neighbouring_apis_go_on_too(
    two_pairs: GatewayUnderTest, tokenizer: ChatTokenizer, path: str
) -> None:
    ids = [*ids_of(tokenizer, "let me think\n</think>hello world"), END_OF_TURN]
    body: dict[str, Any] = {"model": "tiny", "temperature": 0}
    if path.endswith("messages"):
        body |= {"messages": HI, "max_tokens": 100}
    else:
        body |= {"input": "hi", "store": False}

    class AnySeed(dict[int, list[int]]):
        def __missing__(self, seed: int) -> list[int]:
            return ids

    workers = MortalWorkers(FakeModel(AnySeed()))
    workers.serve(two_pairs)

    async def answer(**fields: Any) -> str:
        response = await two_pairs.client.post(path, json=body | fields)
        assert response.status_code == 200, response.text
        return plain(response.text)

    expected = await answer(), await answer(stream=True)
    for steps in (0, 1, 3, len(ids) - 1):
        for fields, told in zip(({}, STREAM), expected, strict=True):
            workers.decode_deaths += [steps, 1]
            assert await answer(**fields) == told


async def test_workers_are_told_the_same_request_with_what_it_has_answered(
    two_pairs: GatewayUnderTest,
) -> None:
    workers = MortalWorkers(FakeModel({SEED: [40, 41, 42, 43, 44, 45]}))
    workers.serve(two_pairs)
    workers.decode_deaths += [2, 3]
    body = {"prompt": [5, 6], "max_tokens": 6, "min_tokens": 3, "cache_salt": "s"}
    told = (await post(two_pairs, TEXT, body)).json()
    for role in (Role.DECODE, Role.PREFILL):
        first, second, third = requests(two_pairs, role)
        assert [r.attempt for r in (first, second, third)] == [1, 2, 3]
        assert list(second.answered_token_ids) == [40, 41]
        assert list(third.answered_token_ids) == [40, 41, 42, 43, 44]
        for later in (second, third):
            assert later.request_id == first.request_id
            assert later.sampling == first.sampling
            assert later.prompt_token_ids == first.prompt_token_ids
            assert (later.cache_salt, later.tenant) == (first.cache_salt, first.tenant)
    assert told["usage"]["completion_tokens"] == 6
    way = told["kv_transfer_params"]
    assert way["failovers"] == 2
    assert len(way["continued_on"]) == 2
    assert way["decode_worker"] in ("d0", "d1")
    assert way["cached_tokens"] == 3
    assert await failovers(two_pairs) == {"unavailable": 2, "transfer": 0, "refused": 0}
    page = (await two_pairs.client.get("/metrics")).text
    assert 'vllm:generation_tokens_total{engine="0",model_name="tiny"} 6.0' in page


def readers(gateway: GatewayUnderTest) -> list[Worker]:
    """Prefill workers, as the gateway knows them."""
    return [w for w in gateway.all_workers() if w.info.role is Role.PREFILL]


@pytest.mark.parametrize("unscored", [False, True])
async def test_a_prompt_that_was_scored_is_not_scored_again(
    two_pairs: GatewayUnderTest, unscored: bool
) -> None:
    workers = MortalWorkers(FakeModel({SEED: [40, 41, 42, 43]}))
    workers.serve(two_pairs)
    body = {"prompt": [5, 6, 7], "prompt_logprobs": 0, "logprobs": 0}
    whole = plain((await post(two_pairs, TEXT, body)).text)
    forget(two_pairs)

    async def scores_are_read() -> None:
        """They come on another stream than the decode worker's end."""
        await two_pairs.until(lambda: not any(w.in_flight for w in readers(two_pairs)))

    workers.before_death = scores_are_read
    if unscored:
        workers.unscored_deaths.append(True)
    else:
        workers.decode_deaths.append(2)
    assert plain((await post(two_pairs, TEXT, body)).text) == whole
    for worker in two_pairs.workers:
        for call in worker.calls.all:
            assert call.request.attempt in (1, 2)
    second = requests(two_pairs, Role.PREFILL)[1]
    assert second.sampling.HasField("prompt_logprobs") is unscored
    assert list(second.answered_token_ids) == ([] if unscored else [40, 41])


@pytest.mark.parametrize("fields", [{}, STREAM])
async def test_prefill_that_dies_before_its_first_token_is_replaced(
    two_pairs: GatewayUnderTest, fields: dict[str, Any]
) -> None:
    workers = MortalWorkers(FakeModel({SEED: [40, 41, 42, 43]}))
    workers.serve(two_pairs)

    workers.decode_deaths.append(2)
    workers.prefill_deaths += [False, True]
    text = (await post(two_pairs, TEXT, {"prompt": [5], "return_token_ids": True, **fields})).text
    assert "error" not in text
    assert [list(r.answered_token_ids) for r in requests(two_pairs)] == [[], [40, 41], [40, 41]]


async def test_several_prompts_go_on_each_by_itself(two_pairs: GatewayUnderTest) -> None:
    workers = MortalWorkers(FakeModel({SEED: [40, 41, 42, 43]}, FinishReason.LENGTH))
    workers.serve(two_pairs)
    body = {"prompt": [[5], [6, 7], [8]], "return_token_ids": True}
    whole = plain((await post(two_pairs, TEXT, body)).text)
    workers.decode_deaths += [1] * 5
    told = (await post(two_pairs, TEXT, body)).json()
    assert [c["token_ids"] for c in told["choices"]] == [[40, 41, 42, 43]] * 3
    assert plain(whole).count("40,41,42,43") + whole.count("40, 41, 42, 43") == 3
    assert sum(p["failovers"] for p in told["kv_transfer_params"]["prompts"]) == 5


async def test_a_search_begins_again(
    two_pairs: GatewayUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "gateway.serving.attempt.ADMITTED_SECONDS", 0.02
    )  # prefill tells nothing here
    monkeypatch.setattr("gateway.serving.dispatch.FINISH_SECONDS", 0.02)  # and does not end
    beams: Sequence[Sequence[int]] = ([40, 41, 42], [40, 43, 44])
    model = FakeModel(dict(enumerate(beams)))

    async def searching(request: Any) -> AsyncIterator[decode_pb2.GenerateResponse]:
        rows = model.rows(len(request.prompt_token_ids), 0, 2, (), False)
        yield RESERVED
        yield decoded([])
        if request.attempt == 1:  # amid the telling
            yield decoded(rows[0])
            raise UnavailableError("gone")
        for row in rows:
            yield decoded(row)

    async def reading(request: Any) -> AsyncIterator[Any]:
        await asyncio.Event().wait()
        yield None

    for worker in two_pairs.workers:
        worker.decode_script, worker.prefill_script = searching, reading
    body = {"prompt": [5], "n": 2, "use_beam_search": True, "return_token_ids": True}
    response = await two_pairs.client.post(TEXT, json=body)
    assert [c["token_ids"] for c in response.json()["choices"]] == [list(b) for b in beams]
    assert [(r.sampling.n, len(r.answered_token_ids)) for r in requests(two_pairs)] == [(2, 0)] * 2
