"""What a hand-off's times come to."""

import pytest

from kv_transfer.timeline import SegmentTiming, Timeline


def test_only_what_happens_after_prefill_has_computed_is_exposed() -> None:
    timeline = Timeline()
    timeline.named(0, 4, 10.0)
    timeline.read(0, 10.001, 10.031)
    timeline.named(4, 2, 10.050)
    timeline.computed(10.051)
    timeline.read(4, 10.052, 10.060)
    timing = timeline.timing(10.062)
    assert timing.total_ms == pytest.approx(62)
    assert timing.computed_ms == pytest.approx(51)
    assert timing.exposed_ms == pytest.approx(11)
    first, last = timing.segments
    assert (first.first_block, first.num_blocks) == (0, 4)
    assert (first.ready_ms, first.start_ms, first.end_ms) == pytest.approx((0, 1, 31))
    assert (last.ready_ms, last.start_ms, last.end_ms) == pytest.approx((50, 52, 60))


def test_segments_are_told_in_the_order_of_the_prompt() -> None:
    timeline = Timeline()
    for first, at in ((4, 1.0), (0, 1.5)):
        timeline.named(first, 4, at)
        timeline.read(first, at, at)
    timeline.computed(2.0)
    timing = timeline.timing(2.0)
    assert [s.first_block for s in timing.segments] == [0, 4]
    assert timing.segments[0] == SegmentTiming(0, 4, 500, 500, 500)


def test_a_segment_that_is_read_again_ends_with_its_last_read() -> None:
    timeline = Timeline()
    timeline.named(0, 4, 0.0)
    timeline.read(0, 1.0, 2.0)
    timeline.read(0, 3.0, 4.0)
    timeline.computed(0.5)
    (segment,) = timeline.timing(5.0).segments
    assert (segment.start_ms, segment.end_ms) == (1000, 4000)


def test_a_segment_that_needed_no_read_is_not_told() -> None:
    timeline = Timeline()
    timeline.named(0, 4, 0.0)
    timeline.computed(1.0)
    assert timeline.timing(2.0).segments == ()
