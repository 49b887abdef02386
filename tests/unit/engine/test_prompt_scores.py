"""Prompt scores on their way through the engine: each once, in order, whatever happens to a prompt."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from baton.core.sampling_params import SamplingParams
from baton.core.token_record import PromptLogprobs, TokenLogprobs
from baton.engine.work import Admitted, PromptScored, Work, WorkDone
from tests.support.engine_events import EventLog
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_running import engine_config, running_engine
from tests.support.engine_works import generate, prefill, prompt_of, sampled
from tests.support.hash_answer import hash_answer, hash_scores


def told(log: EventLog) -> PromptLogprobs:
    """All parts in one, which follow each other without a gap."""
    parts = [event.scores for event in log.events if isinstance(event, PromptScored)]
    entries: list[TokenLogprobs] = []
    for part in parts:
        assert part.start == len(entries) + 1
        entries += part.entries
    return PromptLogprobs(1, tuple(entries))


def scoring(count: int, max_tokens: int = 8, n: int = 1) -> SamplingParams:
    return replace(sampled(max_tokens, n=n), prompt_logprobs=count, logprobs=2)


@pytest.mark.parametrize("make", [generate, prefill])
@pytest.mark.parametrize("length", [1, 2, 16, 17, 300])
def test_a_prompt_of_any_length_is_scored_once(make: Callable[..., Work], length: int) -> None:
    prompt, log = prompt_of(length), EventLog()
    with running_engine(engine_config(num_blocks=64)) as engine:
        engine.submit(make("a", prompt, scoring(3, n=2)), log)
        assert log.wait_for_end() == WorkDone()
        engine.blocks.release(log.lent())
    assert told(log) == hash_scores(HASH_MODEL, prompt, 3)


def test_what_is_cached_is_computed_again_to_be_scored_and_serves_others() -> None:
    prompt = prompt_of(200)
    with running_engine(engine_config(num_blocks=64)) as engine:
        for key in ("cold", "warm"):
            log = EventLog()
            engine.submit(generate(key, prompt, scoring(1)), log)
            log.wait_for_end()
            assert log.events[0] == Admitted(0)
            assert told(log) == hash_scores(HASH_MODEL, prompt, 1)
        plain = EventLog()
        engine.submit(generate("plain", prompt), plain)
        plain.wait_for_end()
        assert plain.events[0] == Admitted(192)


def test_preempted_prompts_are_scored_once_and_answered_as_ever() -> None:
    """The pool is too small for all: those who came last give way and come back."""
    works = [
        (prompt_of(100 + 17 * i, salt=i), scoring(2, max_tokens=60, n=1 + i % 2)) for i in range(5)
    ]
    logs = [EventLog() for _ in works]
    with running_engine(engine_config(num_blocks=24)) as engine:
        for index, ((prompt, params), log) in enumerate(zip(works, logs, strict=True)):
            engine.submit(generate(str(index), prompt, params), log)
        for (prompt, params), log in zip(works, logs, strict=True):
            assert log.wait_for_end() == WorkDone()
            assert told(log) == hash_scores(HASH_MODEL, prompt, 2)
            for choice, answer in enumerate(hash_answer(HASH_MODEL, prompt, params)):
                assert log.records(choice) == answer
