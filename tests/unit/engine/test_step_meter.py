"""What a worker tells of its steps."""

from baton.core.step_totals import NO_STEPS, StepSums, pairs_of
from baton.engine.plan import Slice, StepPlan
from baton.engine.scheduling.step_meter import StepMeter


def piece(start: int, count: int) -> Slice:
    return Slice((7,) * count, start, (), ())


def test_steps_with_a_piece_of_a_prompt_are_summed_apart_from_those_without() -> None:
    meter = StepMeter()
    meter.note(StepPlan((piece(99, 1), piece(199, 1))), 0.25)
    before = meter.totals.writing
    meter.note(StepPlan((piece(100, 1), piece(256, 128))), 0.5)
    meter.note(StepPlan((piece(101, 1),)), 0.125)
    assert meter.totals.writing == StepSums(2, 0.375, 3, 300 + 102)
    assert meter.totals.reading == StepSums(1, 0.5, 1, 101, 128, 128 * 256 + 64 * 128)
    assert meter.totals.writing.minus(before) == StepSums(1, 0.125, 1, 102)
    assert NO_STEPS.plus(before) == before
    tokens = meter.step_tokens.reading()
    assert (tokens.counts[:2], sum(tokens.counts), tokens.total) == ((1, 1), 3, 2 + 129 + 1)


def test_pairs_of_a_prompt_are_the_same_in_one_piece_and_in_several() -> None:
    assert pairs_of(512, 100) == pairs_of(200, 100) + pairs_of(312, 300)
