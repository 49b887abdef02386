"""What a run comes to, in numbers, words and pictures."""

import json
from xml.etree import ElementTree

import pytest

from baton.cluster.outcomes import Fate, Objectives, Outcome, summarise
from baton.cluster.outcomes.plot import plot
from baton.cluster.outcomes.report import as_json, as_text
from baton.cluster.outcomes.spread import spread, weighted_spread
from baton.cluster.outcomes.summary import by_tenant

STRICT = Objectives(ttft=0.5, itl=0.1)


def done(
    due: float = 0.0,
    ttft: float = 0.2,
    itl: float = 0.05,
    tokens: int = 5,
    tenant: str = "all",
    **others: object,
) -> Outcome:
    one = Outcome(tenant, due, 100, Fate.DONE, sent=due, first=due + ttft)
    one.output_tokens = tokens
    one.last = one.ended = due + ttft + itl * (tokens - 1)
    for _ in range(tokens - 1):
        one.gaps.add(itl)
    for name, value in others.items():
        setattr(one, name, value)
    return one


def refused(after: float, refusals: int = 1) -> Outcome:
    return Outcome(
        "all",
        0,
        9,
        Fate.REFUSED,
        0,
        ended=0.1,
        refusals=refusals,
        retry_after=after,
        error="429: full",
    )


def test_percentiles_are_values_that_were_there() -> None:
    found = spread([float(value) for value in range(1, 101)])
    assert found is not None
    assert (found.p50, found.p90, found.p95, found.p99, found.max) == (50, 90, 95, 99, 100)
    assert found.mean == 50.5
    assert spread([]) is None


def test_a_value_that_counts_ten_times_is_there_ten_times() -> None:
    assert weighted_spread([(2.0, 10), (1.0, 1)]) == spread([2.0] * 10 + [1.0])


def test_goodput_is_what_met_every_objective_of_all_that_came() -> None:
    outcomes = [done(), done(ttft=0.6), done(itl=0.2), done(ttft=0.5, itl=0.1), refused(2.0)]
    outcomes.append(Outcome("all", 0, 9, Fate.FAILED, 0, error="broke"))
    outcomes.append(Outcome("all", 0, 9, Fate.CUT, 0))
    found = summarise(outcomes, STRICT)
    assert (found.done, found.refused, found.failed, found.cut, found.good) == (4, 1, 1, 1, 2)
    assert found.good_share == pytest.approx(2 / 6)
    assert found.good_per_second == pytest.approx(2 / 1.0)
    assert found.errors == {"429: full": 1, "broke": 1}


def test_a_single_token_has_no_itl_and_meets_any() -> None:
    one = done(tokens=1)
    assert one.itl is None
    assert one.meets(STRICT)


def test_the_cached_share_is_of_prompts_that_told() -> None:
    outcomes = [done(cached_tokens=50), done(cached_tokens=0), done()]
    assert summarise(outcomes, STRICT).cached_share == pytest.approx(0.25)
    assert summarise([done()], STRICT).cached_share is None


def test_who_came_back_is_counted_by_tries() -> None:
    outcomes = [done(refusals=1, retry_after=1.0), done(refusals=2, retry_after=3.0)]
    outcomes += [refused(5.0, refusals=2), refused(9.0, refusals=1)]
    found = summarise(outcomes, STRICT)
    assert (found.came_back, found.came_back_once) == (3, 1)
    text = "\n".join(as_text(found, {}, STRICT))
    assert "Retry-After median 3 s, at most 9 s; 3 came back as they were told, 1 of them" in text


def test_late_sends_are_reported() -> None:
    one = done()
    one.due = -0.3
    found = summarise([one, done()], STRICT)
    assert found.late == 1
    assert found.latest == pytest.approx(0.3)
    assert "1 were sent more than 50 ms behind" in "\n".join(as_text(found, {}, STRICT))


def test_tenants_are_told_apart() -> None:
    outcomes = [done(tenant="b"), done(tenant="a", ttft=2.0)]
    tenants = by_tenant(outcomes, STRICT)
    assert [(name, one.good) for name, one in tenants.items()] == [("a", 0), ("b", 1)]
    assert "tenant a" in as_text(summarise(outcomes, STRICT), tenants, STRICT)
    assert by_tenant([done()], STRICT) == {}


def test_json_has_the_derived_figures_too() -> None:
    told = json.loads(json.dumps(as_json(summarise([done()], STRICT))))
    assert told["good_share"] == 1.0
    assert told["ttft"]["p50"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    "outcomes",
    [[], [done()], [done(at / 7, tenant=f"<{at % 2}>") for at in range(50)], [refused(1.0)]],
)
def test_a_plot_is_svg_whatever_came(outcomes: list[Outcome]) -> None:
    drawn = plot(outcomes, STRICT)
    root = ElementTree.fromstring(drawn)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "nan" not in drawn
    assert len(root.findall("{*}g")) == 4
