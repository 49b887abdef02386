"""An answer that was written is found again when the next turn begins with it."""

from dataclasses import replace

import pytest

from baton.core.sampling_params import BeamSearch, SamplingParams
from baton.core.worker_info import Role
from gateway.candidate import Candidate
from gateway.conversation import Conversation
from gateway.job import Job
from gateway.prefix_source import Source
from gateway.recent_answers import RecentAnswers
from tests.support.gateway_members import make_info, make_load

DECODE = make_info("d", Role.DECODE)
PREFILL = make_info("p", Role.PREFILL)
PROMPT = tuple(range(40))
ANSWER = tuple(range(100, 125))
JOB = Job("r", PROMPT, SamplingParams(max_tokens=25, seed=1), cache_salt="salt", tenant="tenant")
NEXT = replace(JOB, prompt=(*PROMPT, *ANSWER, 1, 2, 3))


class Memory:
    def __init__(self) -> None:
        self.answers = RecentAnswers()

    def of(self, job: Job) -> Conversation:
        candidates = [Candidate(DECODE, make_load()), Candidate(PREFILL, make_load())]
        return Conversation(job, DECODE, self.answers, lambda: candidates)

    def found(self, job: Job) -> int:
        """Tokens that the decode worker may lend."""
        source = self.of(job).source(PREFILL)
        assert source is None or source == Source(DECODE, source.num_tokens)
        return source.num_tokens if source else 0


def test_the_next_turn_finds_all_full_blocks_but_not_the_last_token() -> None:
    memory = Memory()
    conversation = memory.of(JOB)
    assert conversation.source(PREFILL) is None
    conversation.written([ANSWER])  # 40 and 25 tokens, of which the last has no KV
    assert memory.found(NEXT) == 64
    assert (
        memory.found(replace(NEXT, prompt=(*PROMPT, *ANSWER[:-1]))) == 48
    )  # it draws from the last
    assert memory.found(replace(NEXT, prompt=(*PROMPT, *ANSWER))) == 64
    assert memory.found(replace(NEXT, prompt=(*PROMPT[:20], 7, *PROMPT[21:]))) == 16


def test_a_block_that_ends_with_the_last_token_of_an_answer_is_not_there() -> None:
    memory = Memory()
    memory.of(JOB).written([ANSWER[:24]])
    assert memory.found(NEXT) == 48


def test_each_choice_is_found_and_an_answer_that_goes_on_is_found_behind_what_was_told() -> None:
    memory = Memory()
    other = tuple(range(200, 225))
    memory.of(JOB).written([ANSWER, other])
    assert memory.found(NEXT) == 64
    assert memory.found(replace(NEXT, prompt=(*PROMPT, *other, 1))) == 64
    assert memory.found(replace(JOB, answered=ANSWER)) == 64


@pytest.mark.parametrize("change", [{"cache_salt": ""}, {"tenant": "other"}])
def test_another_salt_or_tenant_finds_nothing(change: dict[str, str]) -> None:
    memory = Memory()
    memory.of(JOB).written([ANSWER])
    assert memory.found(replace(NEXT, **change)) == 0  # type: ignore[arg-type]


def test_of_a_search_the_prompt_alone_stays() -> None:
    memory = Memory()
    beams = replace(JOB, params=replace(JOB.params, beam=BeamSearch()))
    memory.of(beams).written([ANSWER])
    assert memory.found(NEXT) == 32


def test_a_prompt_that_is_scored_is_read_from_its_first_token_on() -> None:
    memory = Memory()
    memory.of(JOB).written([ANSWER])
    assert memory.found(replace(NEXT, params=replace(JOB.params, prompt_logprobs=0))) == 0
