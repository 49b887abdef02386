"""What the cache gives back decides no token: cold equals warm equals Hugging Face, in float32.

Also where sequences preempt each other and come back from what is left of them in the cache.
"""

import random
from dataclasses import replace

import pytest

from baton.engine.config import EngineConfig
from baton.engine.runners.torch_runner import load_torch_runner
from tests.support.hugging_face import Oracle
from tests.support.models import make
from tests.support.oracle import (
    ROOMY,
    Case,
    cached_of,
    compare,
    draw_case,
    engine_for,
    submit_together,
    tokens_of,
)


@pytest.fixture(scope="module", params=["Llama", "Gemma2"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Prompts that begin like each other: each is a piece of an earlier one with an end of its own."""
    folder = make(request.param, tmp_path_factory.mktemp("models") / request.param)
    drawn = draw_case(folder, request, count=2, longest=300, num_tokens=16)
    oracle, rng = Oracle(folder), random.Random(len(drawn.prompts[0]))
    longest = max(drawn.prompts, key=len)
    more = [(*longest[: rng.randrange(20, 300)], *longest[: rng.randrange(40)]) for _ in range(5)]
    answers = [oracle.answer(prompt, drawn.params.max_tokens) for prompt in more]
    return replace(drawn, prompts=[*drawn.prompts, *more], answers=[*drawn.answers, *answers])


@pytest.mark.parametrize("budget", [48, 2048])
@pytest.mark.parametrize("roomy", [True, False], ids=["roomy", "preempting"])
def test_prompts_that_begin_alike_and_are_repeated(
    request: pytest.FixtureRequest, case: Case, budget: int, roomy: bool
) -> None:
    hits = 0
    with engine_for(case, budget, ROOMY if roomy else _scarce(case)) as engine:
        for _ in range(3):
            logs = submit_together(engine, case)
            compare(request, case, [tokens_of(log) for log in logs])
            hits += sum(map(cached_of, logs))
    assert hits, "what is tested must happen"


@pytest.mark.parametrize("budget", [48, 2048])
def test_what_the_pool_gave_up_and_host_memory_gave_back(
    request: pytest.FixtureRequest, case: Case, budget: int
) -> None:
    """Far more than the pool holds, again and again; nothing that is asked for twice is lost."""
    with engine_for(case, budget, _scarce(case), offloading_bytes=ROOMY) as engine:
        for _ in range(3):
            logs = submit_together(engine, case)
            compare(request, case, [tokens_of(log) for log in logs])
        assert engine.load().host.hits, "what is tested must happen"
        assert engine.load().host.evicted == 0


def _scarce(case: Case) -> int:
    """Bytes of KV for the longest sequence and little more."""
    longest = max(map(len, case.prompts)) + case.params.max_tokens
    layout = load_torch_runner(str(case.folder), EngineConfig()).layout
    return (layout.blocks_for(longest) + 6) * layout.block_bytes
