"""Whole runs: the gateway's code in front of modelled workers."""

from dataclasses import replace

import pytest

from baton.cluster.outcomes import Fate, Objectives, summarise
from baton.cluster.simulator.profile import profile_of, read_profile
from baton.cluster.simulator.prompt import TracePrompt
from baton.cluster.simulator.simulation import Cluster, simulate
from baton.cluster.traces import Piece, Trace, TraceRequest, load_trace
from baton.core.errors import SettingsError
from gateway.placing.policies import POLICIES

PROFILE = read_profile("llama-8b-h100")
SMALL = Cluster(1, 2, PROFILE)
NONE = Objectives()


def lone(tokens: int = 1000, output: int = 10) -> Trace:
    return Trace("t", (TraceRequest(0.0, (Piece(1, tokens),), output),))


def test_a_request_alone_takes_what_its_parts_take() -> None:
    exact = replace(PROFILE, step_noise=0.0, worker_noise=0.0)
    always_moved = Cluster(1, 1, exact, "round_robin")
    [one] = simulate(lone(), always_moved, NONE, 1).outcomes
    assert one.fate is Fate.DONE
    assert one.ttft == pytest.approx(3 * exact.call_seconds + exact.reads(1000, 0))
    moved = exact.link_seconds + 1000 * exact.token_bytes / exact.link_bytes_per_second
    written = sum(exact.writes(1, context) for context in range(1001, 1010))
    assert one.gaps.total == pytest.approx(moved - exact.call_seconds + written)
    assert sum(count for _, count in one.gaps) == 9


def test_equal_seeds_are_equal_runs_and_every_request_ends() -> None:
    trace = load_trace("multi-turn:rate=2,seconds=20,spread=0.5", 1)
    runs = [simulate(trace, SMALL, NONE, seed) for seed in (1, 1, 2)]
    told = [repr(summarise(run.outcomes, NONE)) for run in runs]
    assert told[0] == told[1] != told[2]
    assert {one.fate for one in runs[0].outcomes} == {Fate.DONE}
    assert runs[0].drifts == 0


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_finds_shared_beginnings_in_the_one_cache(policy: str) -> None:
    trace = load_trace("shared-prefix:rate=1,prefixes=2,prefix=4096,in=64,out=8,seconds=30", 1)
    found = simulate(trace, Cluster(1, 1, PROFILE, policy), NONE, 1)
    summary = summarise(found.outcomes, NONE)
    assert summary.cached_share is not None
    assert summary.cached_share > 0.7
    assert found.drifts == 0


def test_overload_ends_in_refusals_not_in_a_longer_line() -> None:
    trace = load_trace("poisson:rate=50,in=8000,out=400,seconds=10", 1)
    tight = replace(SMALL, max_queued=5, profile=replace(PROFILE, num_blocks=4000))
    summary = summarise(simulate(trace, tight, NONE, 1).outcomes, NONE)
    assert summary.refused > 50
    assert summary.done + summary.refused == summary.requests
    assert summary.retry_after is not None


def test_what_fits_no_worker_is_told() -> None:
    with pytest.raises(SettingsError, match="does not fit in the 409600"):
        simulate(lone(500_000), SMALL, NONE, 1)


def test_prompts_have_equal_names_as_far_as_they_are_equal() -> None:
    one = TracePrompt((Piece(1, 300), Piece(2, 100)), "", 128).strides
    same = TracePrompt((Piece(1, 300), Piece(3, 100)), "", 128).strides
    cut = TracePrompt((Piece(1, 200), Piece(2, 200)), "", 128).strides
    assert len(one) == 3  # the last token is always computed
    assert len(TracePrompt((Piece(1, 385),), "", 128).strides) == 3
    assert len(TracePrompt((Piece(1, 384),), "", 128).strides) == 2
    assert one[:2] == same[:2]
    assert one[2] != same[2]
    assert (one[0] == cut[0], one[1] == cut[1]) == (True, False)
    assert one[0] != TracePrompt((Piece(1, 300),), "tenant", 128).strides[0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"speed": 1}, "speed is unknown"),
        ({"read_step": None}, "read_step must be a number from 0 on"),
        ({"num_blocks": 1.5}, "num_blocks must be a number from 1 on"),
        ({"dtype": "int3"}, "dtype cannot be 'int3'"),
    ],
)
def test_a_wrong_profile_is_one_sentence(change: dict[str, object], told: str) -> None:
    values = {name: getattr(PROFILE, name) for name in PROFILE.__slots__}
    with pytest.raises(SettingsError, match=told):
        profile_of({**values, **change}, "p")
    with pytest.raises(SettingsError, match="read_step, read_token"):
        profile_of({}, "p")
    with pytest.raises(SettingsError, match="neither a file nor baton-demo-cpu, llama-8b-h100"):
        read_profile("p")
