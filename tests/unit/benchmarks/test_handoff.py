"""What the hand-off's benchmark holds a request against."""

import pytest

from benchmarks.handoff import Plan, Row, allowed_ms, later_itl
from benchmarks.measures import Sample, ratio_of
from benchmarks.prompts import Shape

pytestmark = pytest.mark.unit

PLAN = Plan(Shape("completions", 600, 8, (0, 9)), 1, 1, chunk=256, threads=1, memory="1M")


@pytest.mark.parametrize(
    ("prompt_tokens", "last_blocks"), [(512, 16), (513, 1), (600, 6), (256, 16), (17, 2)]
)
def test_the_last_chunk_is_what_one_more_step_computed(
    prompt_tokens: int, last_blocks: int
) -> None:
    blocks = -(-prompt_tokens // 16)
    told = {"exposed_ms": 1.0, "transferred_bytes": blocks * 1000}
    sample = Sample(0, 1, prompt_tokens=prompt_tokens, hand_off=told)
    assert allowed_ms(sample, PLAN, 10_000.0) == pytest.approx(last_blocks * 100 + 10)


def test_the_gap_before_the_second_token_is_not_part_of_what_it_is_held_against() -> None:
    assert later_itl(Sample(0, 20, arrivals=(1, 9, 10, 12, 15))) == 2


def test_a_target_holds_for_the_median() -> None:
    ratio = ratio_of([(1, 1), (3, 1), (9, 1)])
    assert Row("", ratio, 3.0).holds
    assert not Row("", ratio, 2.9).holds
