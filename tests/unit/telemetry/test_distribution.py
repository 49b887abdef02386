"""Observations by size."""

from baton.telemetry.distribution import Observations


def test_a_duration_counts_where_it_is_not_above_the_bound() -> None:
    seen = Observations((0.1, 0.2))
    for seconds in (0.05, 0.1, 0.15, 0.3):
        seen.see(seconds)
    reading = seen.reading()
    assert reading.counts == (2, 1, 1)
    assert reading.buckets == [("0.1", 2.0), ("0.2", 3.0), ("+Inf", 4.0)]
    assert reading.total == 0.05 + 0.1 + 0.15 + 0.3


def test_a_reading_stays_as_it_was() -> None:
    seen = Observations((1.0,))
    before = seen.reading()
    seen.see(0.5)
    assert before.counts == (0, 0)
    assert seen.reading().counts == (1, 0)
