"""Everything that core says survives the wire."""

import math

import pytest

from baton.core.fingerprint import Fingerprint
from baton.core.handoff import Epoch, Handoff, PrefixSource, new_id, new_ticket
from baton.core.layout import LayoutDescriptor
from baton.core.room import Room
from baton.core.sampling_params import (
    BeamSearch,
    Grammar,
    GrammarBackend,
    LogprobsMode,
    ProcessorCall,
    SamplingParams,
)
from baton.core.step_totals import StepSums, StepTotals
from baton.core.token_record import FinishReason, PromptLogprobs, TokenLogprobs, TokenRecord
from baton.core.worker_info import Role, WorkerInfo, WorkerLoad, WorkerState
from baton.rpc import wire

LAYOUT = LayoutDescriptor(28, 8, 128, 16, "bfloat16")
FINGERPRINT = Fingerprint(1, "aa", "main", "bb", "bfloat16", LAYOUT, "cc", "avx512")


@pytest.mark.parametrize("seed", [-(2**63), -1, 0, 2**63 - 1])
def test_sampling_params_survive(seed: int) -> None:
    params = SamplingParams(7, seed, temperature=0.1, top_p=0.3, top_k=5, n=3, ignore_eos=True)
    assert wire.sampling_from_pb(wire.sampling_to_pb(params)) == params


@pytest.mark.parametrize("mode", list(LogprobsMode))
def test_sampling_params_with_everything_survive(mode: LogprobsMode) -> None:
    params = SamplingParams(
        7,
        1,
        min_p=0.1,
        min_tokens=2,
        stop_token_ids=(3, 9),
        repetition_penalty=1.1,
        presence_penalty=-0.5,
        frequency_penalty=0.7,
        logit_bias=((4, -100.0), (8, 0.25)),
        allowed_token_ids=(1, 2),
        bad_words=((5,), (6, 7)),
        logprobs=0,
        prompt_logprobs=3,
        logprobs_mode=mode,
        grammar=Grammar("{}", (11, 12), GrammarBackend.XGRAMMAR),
        beam=BeamSearch(0.8),
        processors=(ProcessorCall("a.b"), ProcessorCall("c.d", "[1]", '{"e": 2}')),
        extra_args='{"f": "g"}',
    )
    assert wire.sampling_from_pb(wire.sampling_to_pb(params)) == params


def test_log_probabilities_survive() -> None:
    scores = TokenLogprobs(-0.5, 2, ((7, -0.25), (9, -math.inf)))
    record = TokenRecord(0, 4, 9, None, scores)
    assert wire.record_from_pb(wire.record_to_pb(record)) == record
    prompt = PromptLogprobs(1, (scores, TokenLogprobs(-1.0, 1)))
    assert wire.prompt_logprobs_from_pb(wire.prompt_logprobs_to_pb(prompt)) == prompt


@pytest.mark.parametrize("reason", [None, *FinishReason])
def test_a_token_record_survives(reason: FinishReason | None) -> None:
    record = TokenRecord(2, 513, 151_935, reason)
    assert wire.record_from_pb(wire.record_to_pb(record)) == record


@pytest.mark.parametrize("role", list(Role))
def test_a_worker_survives(role: Role) -> None:
    labels = (("rack", "7"), ("zone", "a"))
    info = WorkerInfo("w-0", "ff", role, "h:1", "http://h:2", 3, "m", 4096, 99, FINGERPRINT, labels)
    assert wire.worker_info_from_pb(wire.worker_info_to_pb(info)) == info


@pytest.mark.parametrize("state", list(WorkerState))
def test_a_load_survives(state: WorkerState) -> None:
    steps = StepTotals(StepSums(1, 0.5, 2, 3), StepSums(4, 0.25, 5, 6, 7, 8.5))
    room = Room(9, 8, -7, 4, ((-10, 1), (0, 3)), ((0, 30),))
    load = WorkerLoad(state, 1, 2, 3, 4, 5, 6, 7, steps, Role.DECODE, room)
    back = wire.worker_load_from_pb(wire.worker_load_to_pb(load))
    assert (back, back.room.number) == (load, 9)
    assert wire.room_from_pb(wire.room_to_pb(Room(1, 2))) == Room(1, 2)


def test_a_handoff_and_its_epoch_survive() -> None:
    handoff = Handoff(new_id(), new_ticket(), "h:1", "ff")
    assert wire.handoff_from_pb(wire.handoff_to_pb(handoff)) == handoff
    source = PrefixSource(handoff, 4096)
    assert wire.prefix_source_from_pb(wire.prefix_source_to_pb(source)) == source
    assert wire.epoch_from_pb(wire.epoch_to_pb(Epoch("ff", 2**40))) == Epoch("ff", 2**40)
