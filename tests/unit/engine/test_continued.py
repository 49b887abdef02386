"""An answer that is cut anywhere and continued elsewhere equals the undisturbed one, byte for byte."""

import random
from dataclasses import replace
from typing import Any

import pytest

from baton.core.errors import RequestError
from baton.core.sampling_params import BeamSearch, SamplingParams
from baton.core.token_record import PromptLogprobs, TokenRecord
from baton.engine.engine import Engine
from baton.engine.work import Admitted, ChunkComputed, Mode, PromptScored, Work, WorkDone
from tests.support.engine_events import EventLog
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_running import engine_config, running_engine
from tests.support.engine_works import GREEDY, generate, prompt_of, sampled
from tests.support.hash_answer import hash_answer, hash_scores

PROMPT = prompt_of(37)


def continued(
    prompt: tuple[int, ...], params: SamplingParams, answer: tuple[TokenRecord, ...], cut: int
) -> Work:
    """What is asked for when the first `cut` tokens of `answer` are told."""
    told = tuple(record.token_id for record in answer[:cut])
    return Work(f"cut at {cut}", prompt, params, Mode.GENERATE, answered=told)


def submitted(engine: Engine, work: Work) -> EventLog:
    log = EventLog()
    engine.submit(work, log)
    return log


def handed_over(sender: Engine, receiver: Engine, work: Work) -> tuple[EventLog, EventLog]:
    """Read by one, the lent bytes copied, written by the other."""
    read = submitted(sender, replace(work, mode=Mode.PREFILL))
    assert read.wait_for_end() == WorkDone()
    lent = read.lent()
    blocks = receiver.blocks.allocate(len(lent))
    assert blocks is not None
    size = sender.pool.block_bytes
    for source, target in zip(lent, blocks, strict=True):
        piece = sender.pool.view[source * size : (source + 1) * size]
        receiver.pool.view[target * size : (target + 1) * size] = piece
    sender.blocks.release(lent)
    adopted = replace(work, mode=Mode.DECODE, blocks=blocks, first=read.records())
    return read, submitted(receiver, adopted)


@pytest.mark.parametrize(
    "params",
    [
        replace(GREEDY, max_tokens=40),
        sampled(40, ignore_eos=False),
        replace(sampled(40), min_tokens=20, stop_token_ids=tuple(range(0, 97, 5))),
        replace(sampled(40), repetition_penalty=1.3, bad_words=((1, 2),), logprobs=2),
        replace(GREEDY, max_tokens=40, allowed_token_ids=tuple(range(20, 60))),
    ],
)
def test_cut_anywhere_it_goes_on_as_if_nothing_had_happened(params: SamplingParams) -> None:
    [answer] = hash_answer(HASH_MODEL, PROMPT, params)
    config = engine_config(200)
    with running_engine(config) as here, running_engine(config) as there:
        for cut in range(len(answer)):
            work = continued(PROMPT, params, answer, cut)
            alone = submitted(here, work)
            assert alone.wait_for_end() == WorkDone()
            assert alone.records() == answer[cut:]
            read, written = handed_over(here, there, work)
            assert written.wait_for_end() == WorkDone()
            assert read.records() + written.records() == answer[cut:]


def test_many_at_once_are_continued_in_a_pool_that_preempts_them() -> None:
    draw = random.Random(3)
    works = []
    for number in range(24):
        prompt = tuple(draw.randrange(97) for _ in range(draw.randint(1, 200)))
        params = sampled(draw.randint(2, 60), seed=number, ignore_eos=False)
        [answer] = hash_answer(HASH_MODEL, prompt, params)
        cut = draw.randrange(len(answer))
        works.append(
            (replace(continued(prompt, params, answer, cut), key=f"w{number}"), answer[cut:])
        )
    with running_engine(engine_config(24)) as engine:
        logs = [submitted(engine, work) for work, _ in works]
        for log, (_, rest) in zip(logs, works, strict=True):
            assert log.wait_for_end() == WorkDone()
            assert log.records() == rest


def test_what_is_known_is_read_in_chunks_found_in_the_cache_and_lent_whole() -> None:
    params = sampled(200)
    [answer] = hash_answer(HASH_MODEL, PROMPT, params)
    with running_engine(engine_config(64, max_num_batched_tokens=48)) as engine:
        assert submitted(engine, generate("first", PROMPT, params)).wait_for_end() == WorkDone()
        for work, cached in (
            (continued(PROMPT, params, answer, 150), 176),  # 187 tokens are known
            (replace(continued(PROMPT, params, answer, 150), tenant="other"), 0),
        ):
            log = submitted(engine, replace(work, mode=Mode.PREFILL))
            assert log.wait_for_end() == WorkDone()
            assert log.events[0] == Admitted(cached)
            chunks = [e.num_tokens for e in log.events if isinstance(e, ChunkComputed)]
            assert chunks == ([176, 187] if cached else [48, 96, 144, 187])
            assert len(log.lent()) == 12
            assert log.records() == answer[150:151]
            engine.blocks.release(log.lent())


def test_scores_are_told_of_the_prompt_alone() -> None:
    params = replace(sampled(30), prompt_logprobs=2)
    [answer] = hash_answer(HASH_MODEL, PROMPT, params)
    with running_engine(engine_config(max_num_seqs=1, max_num_batched_tokens=17)) as engine:
        log = submitted(engine, continued(PROMPT, params, answer, 20))
        assert log.wait_for_end() == WorkDone()
        told = [e.scores for e in log.events if isinstance(e, PromptScored)]
        entries = tuple(entry for scores in told for entry in scores.entries)
        assert PromptLogprobs(1, entries) == hash_scores(HASH_MODEL, PROMPT, 2)
        assert log.records() == answer[20:]


@pytest.mark.parametrize(
    ("fields", "answered", "param"),
    [
        ({"n": 2}, (1, 2), "n"),
        ({"beam": BeamSearch()}, (1, 2), "use_beam_search"),
        ({}, (1, 97), None),
        ({"max_tokens": 2}, (1, 2), "max_tokens"),
        ({"max_tokens": 9000}, (1,) * (1024 - 37), "max_tokens"),
    ],
)
def test_what_cannot_be_continued_is_refused(
    fields: dict[str, Any], answered: tuple[int, ...], param: str | None
) -> None:
    work = Work("w", PROMPT, replace(sampled(40), **fields), Mode.GENERATE, answered=answered)
    with running_engine(engine_config(64)) as engine:
        assert engine.max_model_len == 1024
        with pytest.raises(RequestError) as caught:
            engine.submit(work, EventLog())
        assert caught.value.param == param
