"""Whatever breaks after whichever token: the deltas are those of a run that nothing disturbed."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from baton.core.sampling_params import SamplingParams
from gateway.job import Job
from gateway.output import ChoiceText, Delta, Output, OutputPlan, fold
from gateway.serving.continuation import Part, continued, whole
from gateway.serving.token_log import TokenLog
from tests.support.gateway_mortal_workers import FakeModel
from tests.support.gateway_output import BYTES

PROMPT = (1, 2, 3)
SEED = 2**63 - 2  # the second choice's seed is the last that the wire takes, the third's wraps
SEEDS = (SEED, SEED + 1, -(2**63))
TEXTS = st.text("abxyz é", min_size=1, max_size=12)


class Run:
    """One request, its attempts one after the other. `deaths`: steps that each of them tells."""

    def __init__(self, model: FakeModel, job: Job, deaths: Sequence[int], ahead: int) -> None:
        self._model = model
        self._job = job
        self._deaths = list(deaths)
        self._ahead = ahead  # steps of which an attempt tells the first token twice
        self._log = TokenLog(len(job.prompt), job.params.n)
        self._output = Output(BYTES, job.prompt, job.params, job.plan)
        self._deltas: list[Delta] = []

    def answer(self) -> list[ChoiceText]:
        parts = [whole(self._job)]
        while parts:
            part = parts.pop(0)
            if self._attempt(part):
                parts += continued(self._job, part.choices, self._log, self._output)
        return fold(self._deltas, self._job.params.n)

    def _attempt(self, part: Part) -> bool:
        """Whether it broke."""
        params, section = part.job.params, self._log.section(part.choices)
        rows = self._model.rows(
            len(part.job.prompt),
            params.seed,
            params.n,
            part.job.answered,
            params.logprobs is not None,
        )
        steps = self._deaths.pop() if self._deaths else len(rows)
        for row in [*rows[: min(steps, self._ahead)], *rows[:steps]]:
            self._deltas += self._output.push(section.add(row))
        return steps < len(rows)


@given(
    texts=st.lists(TEXTS, min_size=1, max_size=3),
    deaths=st.lists(st.integers(0, 6), max_size=12),
    stop=st.sampled_from([(), ("xy",), ("a", "zz")]),
    logprobs=st.sampled_from([None, 1]),
    ahead=st.integers(0, 2),
)
def test_any_breaks_leave_the_answer_as_it_is(
    texts: list[str],
    deaths: list[int],
    stop: tuple[str, ...],
    logprobs: int | None,
    ahead: int,
) -> None:
    answers = {seed: text.encode() for seed, text in zip(SEEDS, texts, strict=False)}
    model = FakeModel(answers)
    params = SamplingParams(99, seed=SEED, n=len(texts), logprobs=logprobs)
    job = Job("r", PROMPT, params, plan=OutputPlan(stop=stop))
    undisturbed = Run(model, job, (), 0).answer()
    assert all(choice.finish_reason for choice in undisturbed)
    assert Run(model, job, deaths, ahead).answer() == undisturbed
