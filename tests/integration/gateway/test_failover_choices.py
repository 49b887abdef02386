"""Workers that die under several choices: each goes on by itself."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from baton.v1 import decode_pb2
from gateway.prompts.tokenizer import ChatTokenizer
from tests.support.gateway_cluster import GatewayUnderTest
from tests.support.gateway_fake_workers import RESERVED, decoded
from tests.support.gateway_mortal_workers import FakeModel, MortalWorkers
from tests.support.gateway_reading import TEXT
from tests.support.mortal_pairs import (
    SEED,
    USAGE,
    by_choice,
    decodes,
    forget,
    ids_of,
    plain,
    post,
    requests,
)

pytestmark = pytest.mark.usefixtures("soon_forgotten")

ANSWERS = {SEED: [40, 41, 42], SEED + 1: list(range(50, 60)), SEED + 2: list(range(60, 68))}


@pytest.mark.parametrize("steps", range(10))
async def test_several_choices_go_on_each_by_itself(
    two_pairs: GatewayUnderTest, steps: int
) -> None:
    workers = MortalWorkers(FakeModel(ANSWERS))
    workers.serve(two_pairs)
    body = {"prompt": [5, 6], "n": 3, "logprobs": 0, "return_token_ids": True}
    whole = plain((await post(two_pairs, TEXT, body)).text)
    streamed = by_choice(plain((await post(two_pairs, TEXT, body | USAGE)).text))
    forget(two_pairs)
    workers.decode_deaths += [steps, 1]
    assert by_choice(plain((await post(two_pairs, TEXT, body | USAGE)).text)) == streamed
    if steps:  # else decode's death may overtake prefill's first tokens: all of it is placed again
        first, *others = requests(two_pairs)
        assert (first.sampling.n, first.sampling.seed) == (3, SEED)
        seeds = {request.sampling.seed for request in others}
        assert seeds == {s for s, ids in ANSWERS.items() if len(ids) > steps}
        assert all(request.sampling.n == 1 for request in others)
        begun = {r.sampling.seed: len(r.answered_token_ids) for r in reversed(others)}
        assert set(begun.values()) <= {steps}
    workers.decode_deaths += [steps, 1]
    assert plain((await post(two_pairs, TEXT, body)).text) == whole


async def test_a_choice_that_its_text_has_ended_does_not_go_on(
    two_pairs: GatewayUnderTest, tokenizer: ChatTokenizer
) -> None:
    stopped = ids_of(tokenizer, "stop it and much more of it")
    other = ids_of(tokenizer, "it goes on and on until the stop and further")
    steps = len(ids_of(tokenizer, "stop it"))
    workers = MortalWorkers(FakeModel({SEED: stopped, SEED + 1: other}))
    workers.serve(two_pairs)
    workers.decode_deaths.append(steps)
    body = {"prompt": [5], "n": 2, "stop": ["stop"]}
    told = (await post(two_pairs, TEXT, body)).json()
    assert [c["text"] for c in told["choices"]] == ["", "it goes on and on until the "]
    _, continued = requests(two_pairs)
    assert continued.sampling.seed == SEED + 1


async def test_a_choice_that_its_text_ends_later_lets_the_others_go_on(
    two_pairs: GatewayUnderTest, tokenizer: ChatTokenizer
) -> None:
    texts = {SEED: "so we stop here", SEED + 1: "hello world and many more words until we stop"}
    answers = {seed: ids_of(tokenizer, text) for seed, text in texts.items()}
    ever = [answers[SEED], answers[SEED + 1]]
    workers = MortalWorkers(FakeModel(answers))
    workers.serve(two_pairs)
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

    for worker in decodes(two_pairs):
        worker.decode_script = never_ending
    assert all(len(ids) > 2 for ids in ever)
    body = {"prompt": [5], "n": 2, "stop": ["sto"]}
    told = (await post(two_pairs, TEXT, body)).json()
    assert [c["finish_reason"] for c in told["choices"]] == ["stop", "stop"]
    await two_pairs.until_idle()
