"""What is left to do of a request whose workers broke."""

from dataclasses import replace
from typing import Any

import pytest

from baton.core.sampling_hash import row_key
from baton.core.sampling_params import Grammar, SamplingParams
from baton.core.token_record import FinishReason, TokenRecord
from gateway.job import Job
from gateway.output import Output, OutputPlan
from gateway.serving.continuation import continued, whole
from gateway.serving.token_log import TokenLog
from tests.support.gateway_output import BYTES

PROMPT = (1, 2, 3)


def job(**params: Any) -> Job:
    sampling = SamplingParams(**{"max_tokens": 10, "seed": 7, "n": 3, **params})
    return Job("r", PROMPT, sampling, "salt", "tenant", 5, OutputPlan(stop=("xy",)))


def told(asked: Job, *answers: str, ended: tuple[int, ...] = ()) -> tuple[TokenLog, Output]:
    log = TokenLog(len(PROMPT), asked.params.n)
    output = Output(BYTES, PROMPT, asked.params, asked.plan)
    for choice, text in enumerate(answers):
        last = len(text) - 1
        stop = FinishReason.STOP if choice in ended else None
        output.push(
            log.add(
                TokenRecord(choice, 3 + i, ord(c), stop if i == last else None)
                for i, c in enumerate(text)
            )
        )
    return log, output


def test_at_first_one_attempt_answers_all_choices() -> None:
    part = whole(job())
    assert part.job == job()
    assert part.choices == (0, 1, 2)


def test_every_choice_goes_on_as_the_first_of_a_request_of_its_own() -> None:
    asked = job(prompt_logprobs=2, logprobs=1, grammar=Grammar("x"), min_tokens=4)
    log, output = told(asked, "ab", "", "abc")
    parts = continued(asked, (0, 1, 2), log, output)
    assert [part.choices for part in parts] == [(0,), (1,), (2,)]
    assert [part.job.answered for part in parts] == [(97, 98), (), (97, 98, 99)]
    for choice, part in enumerate(parts):
        params = replace(asked.params, n=1, seed=7 + choice, prompt_logprobs=None)
        assert part.job == replace(asked, params=params, answered=part.job.answered)


def test_what_was_ended_by_a_token_or_by_the_text_does_not_go_on() -> None:
    asked = job()
    log, output = told(asked, "ab", "axyb", "abc", ended=(0,))
    assert [part.choices for part in continued(asked, (0, 1, 2), log, output)] == [(2,)]
    assert continued(asked, (0, 1), log, output) == []


@pytest.mark.parametrize("seed", [0, 2**63 - 2, -(2**63), -1])
def test_draws_stay_the_same_whatever_the_seed(seed: int) -> None:
    asked = job(seed=seed)
    log, output = told(asked, "a", "a", "a")
    for choice, part in enumerate(continued(asked, (0, 1, 2), log, output)):
        assert -(2**63) <= part.job.params.seed < 2**63
        assert row_key(part.job.params.seed, 0, 4) == row_key(seed, choice, 4)
