"""What the whole cluster answers is what the model says, token by token."""

import asyncio
import random
from pathlib import Path

import pytest

from baton.core.sampling_params import BeamSearch, SamplingParams
from baton.engine.runners.hash_model import parse_hash_config
from tests.support.beam_answer import hash_beams
from tests.support.clients import Client, Completion
from tests.support.cluster import RunningCluster, running_cluster
from tests.support.cluster_state import nothing_is_held
from tests.support.hash_answer import hash_answer

pytestmark = pytest.mark.asyncio(loop_scope="module")


def expected(model: Path, prompt: list[int], params: SamplingParams) -> list[tuple[list[int], str]]:
    answers = hash_answer(
        parse_hash_config((model / "config.json").read_bytes(), "test"), tuple(prompt), params
    )
    return [
        ([r.token_id for r in answer], answer[-1].finish_reason.value)  # type: ignore[union-attr]
        for answer in answers
    ]


def expected_beams(
    model: Path, prompt: list[int], params: SamplingParams
) -> list[tuple[list[int], str]]:
    config = parse_hash_config((model / "config.json").read_bytes(), "test")
    return [
        ([r.token_id for r in answer], answer[-1].finish_reason.value)  # type: ignore[union-attr]
        for answer in hash_beams(config, tuple(prompt), params)
    ]


def seen(choices: list[Completion]) -> list[tuple[list[int], str]]:
    return [(choice.token_ids, choice.finish_reason) for choice in choices]


def drawn_prompt(rng: random.Random) -> list[int]:
    return [rng.randrange(4096) for _ in range(int(2 ** rng.uniform(0, 10.9)))]


async def test_prefill_and_decode_give_the_models_answer_byte_for_byte(
    client: Client, hash_model: Path
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)  # noqa: T201
    rng = random.Random(seed)
    for _ in range(12):
        prompt, n, length = drawn_prompt(rng), rng.randint(1, 3), rng.randint(1, 40)
        sampling = {"temperature": rng.choice([0, 0.7]), "seed": rng.randrange(2**31)}
        params = SamplingParams(length, n=n, **sampling)  # type: ignore[arg-type]
        answer = expected(hash_model, prompt, params)
        fields = {"max_tokens": length, "n": n, **sampling}
        assert seen(await client.complete(prompt, **fields)) == answer
        assert seen(await client.complete_streaming(prompt, **fields)) == answer


async def test_beams_are_those_of_a_slow_search_streamed_and_not(
    client: Client, hash_model: Path
) -> None:
    rng = random.Random(8)
    for n, penalty in ((1, 1.0), (3, 0.0), (4, 2.0)):
        prompt = [rng.randrange(4096) for _ in range(rng.choice([16, 50, 300]))]
        params = SamplingParams(20, seed=0, n=n, beam=BeamSearch(penalty))
        fields = {"use_beam_search": True, "length_penalty": penalty, "max_tokens": 20, "n": n}
        answer = expected_beams(hash_model, prompt, params)
        assert seen(await client.complete(prompt, **fields)) == answer
        assert seen(await client.complete_streaming(prompt, **fields)) == answer


async def test_many_at_once_are_answered_as_if_alone(client: Client, hash_model: Path) -> None:
    rng = random.Random(7)
    prompts = [drawn_prompt(rng) for _ in range(24)]
    answers = await asyncio.gather(
        *(client.complete(p, max_tokens=24, temperature=0.5, seed=5) for p in prompts)
    )
    params = SamplingParams(24, seed=5, temperature=0.5)
    assert [seen(a) for a in answers] == [expected(hash_model, p, params) for p in prompts]


async def test_a_chat_streams_what_it_answers_whole(client: Client) -> None:
    body = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Où est la gare ? 😀"},
        ],
        "max_tokens": 40,
        "seed": 11,
        "n": 2,
    }
    whole = (await client.post("/v1/chat/completions", {**body, "cache_salt": "whole"})).json()
    streamed = {**body, "cache_salt": "stream", "stream_options": {"include_usage": True}}
    events = await client.stream("/v1/chat/completions", streamed)
    for index in (0, 1):
        pieces = [c for e in events for c in e["choices"] if c["index"] == index]
        text = "".join(piece["delta"].get("content") or "" for piece in pieces)
        choice = whole["choices"][index]
        assert text == choice["message"]["content"]
        assert [p["finish_reason"] for p in pieces if p["finish_reason"]] == [
            choice["finish_reason"]
        ]
    given = {name: value for name, value in whole["usage"].items() if value is not None}
    assert events[-1]["usage"] == given


async def test_an_answer_says_where_it_ran_and_what_the_hand_off_took(client: Client) -> None:
    body = {"prompt": [7] * 100, "max_tokens": 8}
    whole = (await client.post("/v1/completions", {**body, "cache_salt": "told whole"})).json()
    events = await client.stream("/v1/completions", {**body, "cache_salt": "told in a stream"})
    [streamed] = [e["kv_transfer_params"] for e in events if "kv_transfer_params" in e]
    for told in (whole["kv_transfer_params"], streamed):
        assert told["prefill_worker"].startswith("prefill")
        assert told["decode_worker"].startswith("decode")
        assert (told["cached_tokens"], told["transferred_tokens"]) == (0, 100)
        assert told["transferred_bytes"] > 0
        assert told["transport"] == "shm"
        assert told["transfer_ms"] >= told["exposed_ms"] > 0
        assert sum(segment["blocks"][1] for segment in told["segments"]) == 7


async def test_a_decode_worker_alone_answers_the_same(
    cluster: RunningCluster, client: Client, hash_model: Path
) -> None:
    rng = random.Random(3)
    prompts = [drawn_prompt(rng) for _ in range(6)]
    async with running_cluster(hash_model, prefill_workers=0) as alone, Client(alone.url) as other:
        for prompt in prompts:
            fields = {"max_tokens": 16, "temperature": 0.9, "seed": 2, "n": 2}
            assert seen(await other.complete(prompt, **fields)) == seen(
                await client.complete(prompt, **fields)
            )


@pytest.mark.timeout(240)
async def test_over_tcp_the_answer_is_the_same(hash_model: Path) -> None:
    prompt = [5] * 500
    async with (
        running_cluster(hash_model, kv_transport="tcp") as running,
        Client(running.url) as client,
    ):
        params = SamplingParams(16, seed=1, temperature=0.0)
        answer = await client.complete(prompt, max_tokens=16, temperature=0)
        assert seen(answer) == expected(hash_model, prompt, params)


async def test_a_stop_string_cuts_the_answer_and_leaves_no_block_behind(
    client: Client, cluster: RunningCluster
) -> None:
    asked = {"prompt": list(range(700, 900)), "max_tokens": 300, "seed": 3}
    text = (await client.post("/v1/completions", asked)).json()["choices"][0]["text"]
    for start in (0, 1, 40, len(text) // 2):  # 0: prefill's own token
        stop = text[start : start + 2]
        stopped = {**asked, "stop": stop}
        wholes = await asyncio.gather(*(client.post("/v1/completions", stopped) for _ in range(4)))
        for whole in wholes:
            choice = whole.json()["choices"][0]
            assert choice["text"] == text[: text.index(stop)]
            assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", stop)
        events = await client.stream("/v1/completions", stopped)
        streamed = [choice for event in events for choice in event["choices"]]
        assert "".join(choice["text"] for choice in streamed) == text[: text.index(stop)]
        assert streamed[-1]["stop_reason"] == stop
    await nothing_is_held(cluster)
