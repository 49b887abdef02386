"""Limits as buckets under a clock that is handed in."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.registry.commons import LocalCommons
from baton.registry.quota import ENDLESS, Account, Bound, Quota


def test_a_minutes_worth_may_be_used_at_once_and_comes_back_evenly() -> None:
    account, quota = Account(), Quota(requests_per_minute=60)
    verdicts = [account.decide(quota, 1, 0.0) for _ in range(61)]
    assert [verdict.bound for verdict in verdicts] == [Bound.NONE] * 60 + [Bound.REQUESTS]
    assert verdicts[-1].wait == pytest.approx(1.0)
    assert account.decide(quota, 1, 0.9).bound is Bound.REQUESTS
    assert account.decide(quota, 1, 1.0).bound is Bound.NONE
    assert account.left(quota, 1000.0) == (60, ENDLESS)


def test_tokens_are_charged_by_a_guess_and_settled() -> None:
    account, quota = Account(), Quota(tokens_per_minute=600)
    assert account.decide(quota, 500, 0.0).tokens_left == 100
    refused = account.decide(quota, 200, 0.0)
    assert refused.bound is Bound.TOKENS
    assert refused.wait == pytest.approx(10.0)
    account.settle(quota, 0, -400, 0.0)
    assert account.decide(quota, 200, 0.0).bound is Bound.NONE
    account.settle(quota, 0, 900, 0.0)  # more than there was: debts are paid off first
    assert account.decide(quota, 1, 59.0).bound is Bound.TOKENS
    assert account.decide(quota, 1, 61.0).bound is Bound.NONE


def test_a_request_that_costs_more_than_a_minute_is_let_in_when_nothing_was_used() -> None:
    account, quota = Account(), Quota(tokens_per_minute=100)
    assert account.decide(quota, 1000, 0.0).bound is Bound.NONE
    refused = account.decide(quota, 1000, 0.0)
    assert refused.wait == pytest.approx(600.0)
    assert account.decide(quota, 1000, 600.0).bound is Bound.NONE


async def test_running_requests_are_counted_until_they_have_ended() -> None:
    commons, quota = LocalCommons(), Quota(concurrent_requests=2)
    bounds = [(await commons.admit("a", quota, 1)).bound for _ in range(3)]
    assert bounds == [Bound.NONE, Bound.NONE, Bound.CONCURRENT]
    assert (await commons.admit("b", quota, 1)).bound is Bound.NONE
    commons.settle("a", quota, 0, 0)
    assert (await commons.admit("a", quota, 1)).bound is Bound.NONE


@settings(max_examples=50, deadline=None)
@given(
    st.floats(1, 5000),
    st.lists(st.tuples(st.floats(0, 30), st.floats(1, 3000), st.floats(0, 3000)), max_size=80),
)
def test_no_more_than_the_rate_and_a_minutes_worth_is_ever_used(
    rate: float, asked: list[tuple[float, float, float]]
) -> None:
    """But for what the last ones cost over their guess."""
    account, quota = Account(), Quota(tokens_per_minute=rate)
    now, used, largest = 0.0, 0.0, 0.0
    for pause, guess, cost in asked:
        now += pause
        if account.decide(quota, guess, now).bound is Bound.NONE:
            account.settle(quota, 0, cost - guess, now)
            used, largest = used + cost, max(largest, cost, guess)
    assert used <= rate + rate * now / 60 + largest + 1e-6


def test_gateways_that_cannot_count_together_divide() -> None:
    assert Quota(60, 600, 5).shared_by(2) == Quota(30, 300, 2)
    assert Quota(None, None, 1).shared_by(3) == Quota(None, None, 1)


def test_a_doubt_is_forgotten() -> None:
    now = [0.0]
    commons = LocalCommons(lambda: now[0])
    commons.doubt("w")
    assert commons.any_doubts
    assert commons.doubts("w")
    assert not commons.doubts("other")
    now[0] = 10.1
    assert not commons.doubts("w")
    assert not commons.any_doubts
