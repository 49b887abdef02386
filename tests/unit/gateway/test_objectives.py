"""What a request wants to be kept to."""

import math

import pytest

from baton.core.errors import RequestError
from gateway.placing.objectives import NONE, Objectives, objectives_of
from gateway.placing.scoring import Terms


def test_headers_are_milliseconds_and_llm_ds_names_mean_the_same() -> None:
    assert objectives_of({}) == NONE
    assert not NONE.any
    assert objectives_of({"x-slo-ttft-ms": "250"}) == Objectives(0.25, math.inf)
    assert objectives_of({"x-slo-itl-ms": "12.5"}) == Objectives(math.inf, 0.0125)
    theirs = {"x-llm-d-slo-ttft-ms": "250", "x-llm-d-slo-tpot-ms": "12.5"}
    assert objectives_of(theirs) == Objectives(0.25, 0.0125)
    assert objectives_of({**theirs, "x-slo-ttft-ms": "250.0"}).ttft == 0.25


@pytest.mark.parametrize("text", ["", "soon", "0", "-1", "nan", "inf", "1 s"])
def test_what_is_no_positive_number_is_refused_by_the_headers_name(text: str) -> None:
    for name in ("x-slo-ttft-ms", "x-llm-d-slo-tpot-ms"):
        with pytest.raises(RequestError, match=name) as raised:
            objectives_of({name: text})
        assert raised.value.param == name


def test_two_that_disagree_are_refused() -> None:
    with pytest.raises(RequestError, match="disagree") as raised:
        objectives_of({"x-slo-itl-ms": "10", "x-llm-d-slo-tpot-ms": "20"})
    assert raised.value.param == "x-llm-d-slo-tpot-ms"


def test_who_misses_anyway_goes_where_it_costs_least_not_where_it_misses_by_least() -> None:
    """Or else everybody pays for a request that is lost."""
    tight = Objectives(ttft=0.1)
    late_and_cheap = Terms(9.0, 1.0, 0.0, 0.0, 0.01, 0.0, 10.0, others=0.0, objectives=tight)
    sooner_and_dear = Terms(0.0, 1.0, 0.0, 0.0, 0.01, 0.0, 10.0, others=50.0, objectives=tight)
    assert late_and_cheap.misses
    assert sooner_and_dear.misses
    assert late_and_cheap.score < sooner_and_dear.score
