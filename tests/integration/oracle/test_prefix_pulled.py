"""A conversation whose prefix travels back to prefill after each turn: token by token what Hugging Face
answers to the whole of it, in float32.
"""

from pathlib import Path

import pytest

from baton.core.sampling_params import SamplingParams
from baton.core.worker_info import Role
from baton.engine.config import EngineConfig
from baton.engine.runners.torch_runner import load_torch_runner
from tests.support.hugging_face import Comparison, Oracle
from tests.support.models import make
from tests.support.oracle import say
from tests.support.prefix_turn import source_of, turn
from tests.support.worker_pair import serving

LENGTH = 80  # tokens of each answer
FIRST = tuple(range(5, 45))


@pytest.mark.parametrize("family", ["Llama", "Gemma2"])
async def test_every_turn_is_answered_as_by_hugging_face(
    request: pytest.FixtureRequest, tmp_path: Path, family: str
) -> None:
    folder = make(family, tmp_path / family)
    oracle, comparison = Oracle(folder), Comparison()
    params = SamplingParams(LENGTH, seed=0, temperature=0.0, ignore_eos=True)
    runners = [load_torch_runner(str(folder), EngineConfig(dtype="float32")) for _ in range(2)]
    async with (
        serving(Role.PREFILL, runner=runners[0]) as prefill,
        serving(Role.DECODE, runner=runners[1]) as decode,
    ):
        prompt, moved = FIRST, []
        for more in range(3):
            done = await turn(prefill, decode, prompt, params, source_of(decode))
            comparison.add(oracle.answer(prompt, LENGTH), [r.token_id for r in done.answer[0]])
            moved.append(done.moved)
            prompt = done.then(prompt, more, more + 1)
        assert moved[0] == 0
        assert all(tokens >= 64 for tokens in moved[1:])
        await prefill.until_idle()
        await decode.until_idle()
    say(request, f"{request.node.name}: {comparison}")
    comparison.check_share()
