"""The numbers of the load client."""

import pytest

from benchmarks.measures import (
    Ratio,
    Sample,
    Summary,
    quantile,
    ratio_of,
    ratios,
    spread,
    summarise,
)


def sample(sent: float = 0.0, arrivals: tuple[float, ...] = (), tokens: int = 0) -> Sample:
    ended = arrivals[-1] if arrivals else sent
    return Sample(sent, ended, arrivals, prompt_tokens=10, output_tokens=tokens)


def test_the_times_of_one_request() -> None:
    one = sample(sent=1.0, arrivals=(1.5, 1.6, 1.9), tokens=3)
    assert one.ttft == pytest.approx(0.5)
    assert one.itl == pytest.approx([0.1, 0.3])
    assert one.tpot == pytest.approx(0.2)


def test_messages_with_several_tokens_count_each_token_in_tpot() -> None:
    assert sample(arrivals=(1.0, 2.0), tokens=5).tpot == pytest.approx(0.25)


def test_a_single_token_has_no_time_per_token() -> None:
    one = sample(arrivals=(1.0,), tokens=1)
    assert (one.tpot, one.itl) == (None, [])


@pytest.mark.parametrize(("q", "value"), [(0.0, 1.0), (0.5, 2.5), (1.0, 4.0), (0.99, 3.97)])
def test_quantiles_are_linear_between_ranks(q: float, value: float) -> None:
    assert quantile([4.0, 1.0, 3.0, 2.0], q) == pytest.approx(value)


def test_a_spread_of_nothing_is_none() -> None:
    assert spread([]) is None


def test_a_run_counts_tokens_over_its_whole_time() -> None:
    summary = summarise(
        [
            sample(sent=0.0, arrivals=(1.0, 2.0), tokens=2),
            sample(sent=1.0, arrivals=(3.0, 4.0), tokens=2),
        ]
    )
    assert summary.seconds == 4.0
    assert summary.output_tokens == 4
    assert summary.output_tokens_per_second == 1.0
    assert summary.ttft is not None
    assert summary.ttft.median == 1.5


def test_a_failed_request_is_an_error_and_in_no_time() -> None:
    failed = Sample(sent=0.0, ended=9.0, arrivals=(8.0,), output_tokens=5, error="500")
    summary = summarise([failed, failed, sample(arrivals=(1.0, 2.0), tokens=2)])
    assert summary.errors == {"500": 2}
    assert summary.output_tokens == 2
    assert summary.ttft is not None
    assert (summary.ttft.median, summary.ttft.count) == (1.0, 1)


def run(ttft: float) -> Summary:
    return summarise([sample(arrivals=(ttft, ttft + 1.0), tokens=2)])


def test_ratios_are_taken_round_by_round() -> None:
    found = ratios([(run(1.0), run(2.0)), (run(3.0), run(4.0)), (run(8.0), run(8.0))])["ttft"]
    assert (found.median, found.low, found.high, found.rounds) == (0.75, 0.5, 1.0, 3)


def test_a_round_without_a_time_is_left_out_of_its_ratio() -> None:
    nothing = summarise([Sample(0.0, 1.0, error="500")])
    found = ratios([(run(1.0), nothing), (run(1.0), run(2.0))])
    assert found["ttft"].rounds == 1
    assert found["output_tokens_per_second"].rounds == 1


def test_a_ratio_is_taken_round_by_round() -> None:
    assert ratio_of([(2.0, 1.0), (9.0, 3.0), (2.0, 8.0)]) == Ratio(2.0, 0.25, 3.0, 3)
