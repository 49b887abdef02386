"""Workers that die after any token: the client's answer is the one of a run that nothing disturbed."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from baton.core.errors import (
    BatonError,
    InternalError,
    RefusedError,
    TransferError,
    UnavailableError,
)
from baton.core.token_record import FinishReason
from baton.core.worker_info import Role
from baton.v1 import decode_pb2
from gateway import queue, refusals
from gateway.breaks import MOST_BREAKS
from gateway.tokenizer import ChatTokenizer, load_tokenizer
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_fake_workers import RESERVED, FakeWorker, decoded
from tests.support.gateway_mortal_workers import FakeModel, MortalWorkers
from tests.support.gateway_reading import CHAT, HI, TEXT, events
from tests.support.gateway_tokenizer import CHATML, END_OF_TURN, make_tokenizer_folder

SEED = 7
THINKING = CHATML + "{% if add_generation_prompt %}<think>\n{% endif %}{# </think> #}"
CALL = '{"name": "weather", "arguments": {"city": "Rome", "days": [1, 2]}}'
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}
NAMES = r"(chatcmpl|cmpl|call|chatcmpl-tool|resp|msg|fc|rs|toolu)[-_][0-9a-f-]{8,}"
CHANGING = r'"(created|created_at|completed_at)": ?[0-9.]+'
WAY = r',?"kv_transfer_params": ?{[^}]*}'
STREAM = {"stream": True}
USAGE = {"stream": True, "stream_options": {"include_usage": True}}


@pytest.fixture(scope="module")
def thinking_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer_folder(tmp_path_factory.mktemp("thinking"), THINKING)


@pytest.fixture(autouse=True)
def _refusals_are_soon_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real workers say so when they have room again; scripted ones report no load."""
    monkeypatch.setattr(refusals, "FORGOTTEN_AFTER", 0.1)
    monkeypatch.setattr(queue, "TICK", 0.02)


@pytest.fixture
async def served(thinking_folder: Path) -> AsyncIterator[GatewayUnderTest]:
    async with cluster(thinking_folder) as gateway:
        yield gateway


def cluster(folder: Path, **settings: Any) -> "Cluster":
    return Cluster(folder, settings)


class Cluster:
    """Two workers of each role; none of them holds a request when it ends."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self._running = running_gateway(folder, tool_call_parser="hermes", **settings)

    async def __aenter__(self) -> GatewayUnderTest:
        self._gateway = await self._running.__aenter__()
        for number in range(2):
            await self._gateway.join(f"p{number}", Role.PREFILL)
            await self._gateway.join(f"d{number}", Role.DECODE)
        return self._gateway

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._gateway.until_idle()
        finally:
            await self._running.__aexit__(None, None, None)


@pytest.fixture(scope="module")
def tokenizer(thinking_folder: Path) -> ChatTokenizer:
    return load_tokenizer(thinking_folder)


def ids_of(tokenizer: ChatTokenizer, text: str) -> list[int]:
    return tokenizer._encode(text, False)


def plain(text: str) -> str:
    """Without what differs between any two answers."""
    text = re.sub(WAY, "", re.sub(CHANGING, r'"\1":0', text))
    return re.sub(NAMES, "NAME", text)


def by_choice(text: str) -> list[list[Any]]:
    """A stream's events, sorted by the choice that they tell of; its steps are those of any run."""
    told: dict[int, list[Any]] = {}
    for event in events(text):
        choices = event["choices"]
        told.setdefault(choices[0]["index"] if choices else -1, []).append(event)
    return [told[index] for index in sorted(told)]


async def post(gateway: GatewayUnderTest, path: str, body: dict[str, Any]) -> httpx.Response:
    response = await gateway.client.post(path, json={"seed": SEED, **body})
    assert response.status_code == 200, response.text
    return response


def decodes(gateway: GatewayUnderTest) -> list[FakeWorker]:
    return [worker for worker in gateway.workers if worker.role is Role.DECODE]


def requests(gateway: GatewayUnderTest, role: Role = Role.DECODE) -> list[Any]:
    """In the order of their attempts."""
    workers = [worker for worker in gateway.workers if worker.role is role]
    asked = [call.request for worker in workers for call in worker.calls.all]
    return sorted(asked, key=lambda request: request.attempt)


def forget(gateway: GatewayUnderTest) -> None:
    for worker in gateway.workers:
        worker.calls.all.clear()


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
    served: GatewayUnderTest, tokenizer: ChatTokenizer, case: str
) -> None:
    path, text, fields = CASES[case]
    body = {"messages": HI, **fields} if path == CHAT else fields
    ids = [*ids_of(tokenizer, text), END_OF_TURN]
    workers = MortalWorkers(FakeModel({SEED: ids}))
    workers.serve(served)
    whole = plain((await post(served, path, body)).text)
    streamed = plain((await post(served, path, body | USAGE)).text)
    for steps in range(len(ids)):
        workers.decode_deaths.append(steps)
        assert plain((await post(served, path, body)).text) == whole
        workers.decode_deaths.append(steps)
        assert plain((await post(served, path, body | USAGE)).text) == streamed
    workers.decode_deaths += [1] * min(len(ids) - 2, 3)  # each gains one
    assert plain((await post(served, path, body | USAGE)).text) == streamed


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages"])
async def test_the_neighbouring_apis_go_on_too(
    served: GatewayUnderTest, tokenizer: ChatTokenizer, path: str
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
    workers.serve(served)

    async def answer(**fields: Any) -> str:
        response = await served.client.post(path, json=body | fields)
        assert response.status_code == 200, response.text
        return plain(response.text)

    expected = await answer(), await answer(stream=True)
    for steps in (0, 1, 3, len(ids) - 1):
        for fields, told in zip(({}, STREAM), expected, strict=True):
            workers.decode_deaths += [steps, 1]
            assert await answer(**fields) == told


ANSWERS = {SEED: [40, 41, 42], SEED + 1: list(range(50, 60)), SEED + 2: list(range(60, 68))}


@pytest.mark.parametrize("steps", range(10))
async def test_several_choices_go_on_each_by_itself(served: GatewayUnderTest, steps: int) -> None:
    workers = MortalWorkers(FakeModel(ANSWERS))
    workers.serve(served)
    body = {"prompt": [5, 6], "n": 3, "logprobs": 0, "return_token_ids": True}
    whole = plain((await post(served, TEXT, body)).text)
    streamed = by_choice(plain((await post(served, TEXT, body | USAGE)).text))
    forget(served)
    workers.decode_deaths += [steps, 1]
    assert by_choice(plain((await post(served, TEXT, body | USAGE)).text)) == streamed
    if steps:  # else decode's death may overtake prefill's first tokens: all of it is placed again
        first, *others = requests(served)
        assert (first.sampling.n, first.sampling.seed) == (3, SEED)
        seeds = {request.sampling.seed for request in others}
        assert seeds == {s for s, ids in ANSWERS.items() if len(ids) > steps}
        assert all(request.sampling.n == 1 for request in others)
        begun = {r.sampling.seed: len(r.answered_token_ids) for r in reversed(others)}
        assert set(begun.values()) <= {steps}
    workers.decode_deaths += [steps, 1]
    assert plain((await post(served, TEXT, body)).text) == whole


async def test_workers_are_told_the_same_request_with_what_it_has_answered(
    served: GatewayUnderTest,
) -> None:
    workers = MortalWorkers(FakeModel({SEED: [40, 41, 42, 43, 44, 45]}))
    workers.serve(served)
    workers.decode_deaths += [2, 3]
    body = {"prompt": [5, 6], "max_tokens": 6, "min_tokens": 3, "cache_salt": "s"}
    told = (await post(served, TEXT, body)).json()
    for role in (Role.DECODE, Role.PREFILL):
        first, second, third = requests(served, role)
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
    assert await failovers(served) == {"unavailable": 2.0, "transfer": 0.0, "refused": 0.0}
    page = (await served.client.get("/metrics")).text
    assert 'vllm:generation_tokens_total{engine="0",model_name="tiny"} 6.0' in page


async def failovers(gateway: GatewayUnderTest) -> dict[str, float]:
    page = (await gateway.client.get("/metrics")).text
    found = re.findall(r'baton_failovers_total{.*reason="(\w+)"} ([0-9.]+)', page)
    return {reason: float(count) for reason, count in found}


async def test_the_worker_that_broke_off_is_not_asked_again_while_there_is_another(
    served: GatewayUnderTest,
) -> None:
    workers = MortalWorkers(FakeModel({SEED: [40, 41, 42, 43]}))
    workers.serve(served)
    for _ in range(3):
        forget(served)
        workers.decode_deaths.append(2)
        await post(served, TEXT, {"prompt": [5]})
        assert [len(worker.calls.all) for worker in decodes(served)] == [1, 1]


async def test_a_choice_that_its_text_has_ended_does_not_go_on(
    served: GatewayUnderTest, tokenizer: ChatTokenizer
) -> None:
    stopped = ids_of(tokenizer, "stop it and much more of it")
    other = ids_of(tokenizer, "it goes on and on until the stop and further")
    steps = len(ids_of(tokenizer, "stop it"))
    workers = MortalWorkers(FakeModel({SEED: stopped, SEED + 1: other}))
    workers.serve(served)
    workers.decode_deaths.append(steps)
    body = {"prompt": [5], "n": 2, "stop": ["stop"]}
    told = (await post(served, TEXT, body)).json()
    assert [c["text"] for c in told["choices"]] == ["", "it goes on and on until the "]
    _, continued = requests(served)
    assert continued.sampling.seed == SEED + 1


async def test_a_choice_that_its_text_ends_later_lets_the_others_go_on(
    served: GatewayUnderTest, tokenizer: ChatTokenizer
) -> None:
    texts = {SEED: "so we stop here", SEED + 1: "hello world and many more words until we stop"}
    answers = {seed: ids_of(tokenizer, text) for seed, text in texts.items()}
    ever = [answers[SEED], answers[SEED + 1]]
    workers = MortalWorkers(FakeModel(answers))
    workers.serve(served)
    workers.decode_deaths.append(1)

    async def never_ending(request: Any) -> AsyncIterator[decode_pb2.GenerateResponse]:
        """A continuation tells its tokens and then hangs, unless it is stopped."""
        if request.sampling.n == 2:
            async for response in workers.decode(request):
                yield response
            return
        yield RESERVED
        for row in workers.rows(request)[:-1]:
            yield decoded(row)
        await asyncio.Event().wait()

    for worker in decodes(served):
        worker.decode_script = never_ending
    assert all(len(ids) > 2 for ids in ever)
    body = {"prompt": [5], "n": 2, "stop": ["sto"]}
    told = (await post(served, TEXT, body)).json()
    assert [c["finish_reason"] for c in told["choices"]] == ["stop", "stop"]
    await served.until_idle()


@pytest.mark.parametrize("unscored", [False, True])
async def test_a_prompt_that_was_scored_is_not_scored_again(
    served: GatewayUnderTest, unscored: bool
) -> None:
    workers = MortalWorkers(FakeModel({SEED: [40, 41, 42, 43]}))
    workers.serve(served)
    body = {"prompt": [5, 6, 7], "prompt_logprobs": 0, "logprobs": 0}
    whole = plain((await post(served, TEXT, body)).text)
    forget(served)
    if unscored:
        workers.unscored_deaths.append(True)
    else:
        workers.decode_deaths.append(2)
    assert plain((await post(served, TEXT, body)).text) == whole
    for worker in served.workers:
        for call in worker.calls.all:
            assert call.request.attempt in (1, 2)
    second = requests(served, Role.PREFILL)[1]
    assert second.sampling.HasField("prompt_logprobs") is unscored
    assert list(second.answered_token_ids) == ([] if unscored else [40, 41])


@pytest.mark.parametrize("fields", [{}, STREAM])
async def test_prefill_that_dies_before_its_first_token_is_replaced(
    served: GatewayUnderTest, fields: dict[str, Any]
) -> None:
    workers = MortalWorkers(FakeModel({SEED: [40, 41, 42, 43]}))
    workers.serve(served)

    workers.decode_deaths.append(2)
    workers.prefill_deaths += [False, True]
    text = (await post(served, TEXT, {"prompt": [5], "return_token_ids": True, **fields})).text
    assert "error" not in text
    assert [list(r.answered_token_ids) for r in requests(served)] == [[], [40, 41], [40, 41]]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UnavailableError("gone"), "unavailable"),
        (TransferError("the hand-off is over"), "transfer"),
        (RefusedError("stopping"), "refused"),
    ],
)
async def test_what_another_worker_may_do_better_goes_on(
    served: GatewayUnderTest, error: BatonError, reason: str
) -> None:
    workers = MortalWorkers(FakeModel({SEED: [40, 41, 42, 43]}), error)
    workers.serve(served)
    workers.decode_deaths.append(2)
    text = (await post(served, TEXT, {"prompt": [5], "return_token_ids": True, **STREAM})).text
    told = [t for e in events(text) for c in e["choices"] for t in c["token_ids"] or []]
    assert told == [40, 41, 42, 43]
    assert (await failovers(served))[reason] == 1


async def test_a_defect_of_a_worker_does_not_go_on(served: GatewayUnderTest) -> None:
    workers = MortalWorkers(FakeModel({SEED: [40, 41, 42, 43]}), InternalError("not a number"))
    workers.serve(served)
    workers.decode_deaths.append(2)
    text = (await post(served, TEXT, {"prompt": [5], **STREAM})).text
    assert events(text)[-1]["error"]["code"] == 500
    assert len(requests(served)) == 1


async def test_a_continuation_that_contradicts_what_was_told_is_a_fault(
    served: GatewayUnderTest,
) -> None:
    workers = MortalWorkers(FakeModel({SEED: [40, 41, 42, 43]}))
    workers.serve(served)
    other = FakeModel({SEED: [40, 49, 42, 43]})

    async def forgetful(request: Any) -> AsyncIterator[decode_pb2.GenerateResponse]:
        if request.attempt == 1:
            async for response in workers.decode(request):
                yield response
            return
        yield RESERVED
        for row in other.rows(len(request.prompt_token_ids), SEED, 1, (), False):
            yield decoded(row)

    for worker in decodes(served):
        worker.decode_script = forgetful
    workers.decode_deaths.append(2)
    text = (await post(served, TEXT, {"prompt": [5], **STREAM})).text
    assert events(text)[-1]["error"]["code"] == 500


async def test_breaks_that_bring_no_token_end_with_the_time(thinking_folder: Path) -> None:
    async with cluster(thinking_folder, failover_timeout=0.5) as served:
        workers = MortalWorkers(FakeModel({SEED: [40, 41, 42, 43]}))
        workers.serve(served)
        workers.decode_deaths.append(2)
        workers.prefill_deaths += [False, *[True] * 1000]
        text = (await post(served, TEXT, {"prompt": [5], **STREAM})).text
        assert "error" in events(text)[-1]
        assert 3 <= len(requests(served)) < 20  # each waits longer than the one before


async def hanging(request: Any) -> AsyncIterator[Any]:
    await asyncio.Event().wait()
    yield None


async def test_a_request_that_kills_everybody_is_given_up_in_the_end(
    served: GatewayUnderTest,
) -> None:
    workers = MortalWorkers(FakeModel({SEED: list(range(40, 40 + 2 * MOST_BREAKS))}))
    workers.serve(served)
    workers.decode_deaths += [1] * (2 * MOST_BREAKS)
    text = (await post(served, TEXT, {"prompt": [5], **STREAM})).text
    assert events(text)[-1]["error"]["code"] == 503
    assert len(requests(served)) == MOST_BREAKS


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("n", [1, 2])
async def test_without_another_worker_it_ends_with_the_reason(
    model_folder: Path, stream: bool, n: int
) -> None:
    async with running_gateway(model_folder, failover_timeout=0.05) as gateway:
        await gateway.pair()
        workers = MortalWorkers(FakeModel({SEED: [40, 41, 42], SEED + 1: [50, 51, 52]}))
        workers.serve(gateway)
        workers.decode_deaths.append(2)
        body = {"prompt": [5], "stream": stream, "n": n, "seed": SEED}
        response = await gateway.client.post(TEXT, json=body)
        told = events(response.text)[-1] if stream else response.json()
        assert response.status_code == (200 if stream else 503)
        assert told["error"]["code"] == 503
        assert "within 0.05 s" in told["error"]["message"]
        await gateway.until_idle()


async def test_an_answer_waits_for_the_next_worker(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        await gateway.pair()
        workers = MortalWorkers(FakeModel({SEED: [40, 41, 42]}))
        workers.serve(gateway)
        prefill, decode = gateway.workers

        async def dying(request: Any) -> AsyncIterator[decode_pb2.GenerateResponse]:
            yield RESERVED
            yield decoded(workers.rows(request)[0])
            await asyncio.Event().wait()

        decode.decode_script = dying
        async with gateway.client.stream(
            "POST", TEXT, json={"prompt": [5], "seed": SEED, "return_token_ids": True, **STREAM}
        ) as response:
            lines = response.aiter_text()
            text = await anext(lines)
            await prefill.stop()
            await decode.stop()
            await gateway.until_queued(1)
            other = await gateway.join("d1", Role.DECODE)
            other.decode_script = workers.decode
            async for more in lines:
                text += more
        told = [t for e in events(text) for c in e["choices"] for t in c["token_ids"] or []]
        assert told == [40, 41, 42]
        assert list(other.calls.all[0].request.answered_token_ids) == [40]


@pytest.mark.parametrize("waiting", [True, False])
@pytest.mark.parametrize("n", [1, 2])
async def test_a_client_that_leaves_meanwhile_cancels_everything(
    model_folder: Path, waiting: bool, n: int
) -> None:
    async with running_gateway(model_folder) as gateway:
        await gateway.pair()
        workers = MortalWorkers(FakeModel({SEED: [40, 41, 42], SEED + 1: [50, 51, 52]}))
        workers.serve(gateway)
        workers.decode_deaths.append(1)
        first = gateway.workers[1]
        asking = asyncio.create_task(
            gateway.client.post(TEXT, json={"prompt": [5], "seed": SEED, "n": n})
        )
        if waiting:
            await gateway.until_queued(n)
        else:
            other = await gateway.join("d1", Role.DECODE)
            other.decode_script = hanging
            calls = [await other.calls.number(i) for i in range(n)]
        asking.cancel()
        await gateway.until_queued(0)
        if not waiting:
            for call in calls:
                async with asyncio.timeout(10):
                    await call.cancelled.wait()
        await gateway.until_idle()
        assert len(first.calls.all) == 1


async def test_several_prompts_go_on_each_by_itself(served: GatewayUnderTest) -> None:
    workers = MortalWorkers(FakeModel({SEED: [40, 41, 42, 43]}, FinishReason.LENGTH))
    workers.serve(served)
    body = {"prompt": [[5], [6, 7], [8]], "return_token_ids": True}
    whole = plain((await post(served, TEXT, body)).text)
    workers.decode_deaths += [1] * 5
    told = (await post(served, TEXT, body)).json()
    assert [c["token_ids"] for c in told["choices"]] == [[40, 41, 42, 43]] * 3
    assert plain(whole).count("40,41,42,43") + whole.count("40, 41, 42, 43") == 3
    assert sum(p["failovers"] for p in told["kv_transfer_params"]["prompts"]) == 5


async def test_a_search_begins_again(served: GatewayUnderTest) -> None:
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

    for worker in served.workers:
        worker.decode_script, worker.prefill_script = searching, reading
    body = {"prompt": [5], "n": 2, "use_beam_search": True, "return_token_ids": True}
    response = await served.client.post(TEXT, json=body)
    assert [c["token_ids"] for c in response.json()["choices"]] == [list(b) for b in beams]
    assert [(r.sampling.n, len(r.answered_token_ids)) for r in requests(served)] == [(2, 0)] * 2
