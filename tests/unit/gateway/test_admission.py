"""Overload under a virtual clock: who is refused is told a moment that holds, and tenants get their
shares.
"""

import math
import random
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.core.aging import OLDEST_EVERY
from gateway.admission.admission import Admission, Entered, Refused
from gateway.admission.pace import Pace
from gateway.admission.promises import GRACE, Promises
from gateway.admission.shares import Bill, Shares
from tests.support.fake_cluster_load import FakeClient, FakeClusterLoad

PLACES = 20  # of a second each: so many requests per second


def burst(limit: int, seed: int, obeys: bool = True) -> FakeClusterLoad:
    """60 s at three times of what the cluster can do, then at 0.8."""
    load = FakeClusterLoad(PLACES, limit, obeys=obeys, seed=seed)
    moments = [*load.poisson(3 * PLACES, 0, 60), *load.poisson(0.8 * PLACES, 60, 700)]
    for name, at in enumerate(moments):
        seconds = load.random.uniform(0.5, 1.5)
        load.arrive(at, FakeClient(name, seconds=seconds))
    load.run(until=700)
    return load


@pytest.mark.parametrize(("limit", "seed"), [(40, 0), (200, 1), (1024, 2)])
def test_in_a_burst_nine_of_ten_who_obey_retry_after_succeed_at_the_first_retry(
    limit: int, seed: int
) -> None:
    load = burst(limit, seed)
    refused = [client for client in load.clients if client.refusals]
    assert len(refused) > 20 * PLACES
    first = [client for client in refused if client.refusals == 1 and client.began is not None]
    assert len(first) >= 0.9 * len(refused)
    assert load.longest_line <= limit
    assert not any(client.too_late for client in load.clients)


@pytest.mark.parametrize("obeys", [True, False])
def test_sustained_overload_wastes_nothing_whether_the_refused_come_back_or_not(
    obeys: bool,
) -> None:
    load = FakeClusterLoad(PLACES, 100, obeys=obeys)
    for name, at in enumerate(load.poisson(3 * PLACES, 0, 120)):
        load.arrive(at, FakeClient(name))
    load.run(until=120)
    assert sum(load.served.values()) >= 0.98 * 100 * PLACES * 120
    assert load.longest_line <= 100


def test_no_more_are_let_in_than_will_have_their_turn_within_the_patience() -> None:
    load = FakeClusterLoad(places=2, limit=1000, patience=10.0, obeys=False)
    for name, at in enumerate(load.poisson(10, 0, 200)):
        load.arrive(at, FakeClient(name))
    load.run(until=200)
    late = [client for client in load.clients if client.too_late and client.came > 20]
    assert not late


@pytest.mark.parametrize("sizes", [(1.0, 1.0), (0.2, 3.0), (3.0, 0.2)])
@pytest.mark.parametrize("limit", [32, 400])
def test_two_tenants_get_tokens_by_their_weights_whatever_their_requests_are_like(
    sizes: tuple[float, float], limit: int
) -> None:
    load = FakeClusterLoad(PLACES, limit, obeys=False)
    for tenant, weight, size in [("heavy", 3.0, sizes[0]), ("light", 1.0, sizes[1])]:
        for at in load.poisson(2.5 * PLACES / size, 0, 60):
            tokens = round(100 * size * load.random.uniform(0.5, 1.5))
            client = FakeClient(
                len(load.clients), tenant, weight, tokens=tokens, seconds=tokens / 100
            )
            load.arrive(at, client)
    load.run(until=60)
    ratio = load.served["heavy"] / load.served["light"]
    assert 2.7 <= ratio <= 3.3


def test_a_tenant_that_asks_for_less_than_its_share_is_never_refused_for_the_others() -> None:
    load = FakeClusterLoad(PLACES, 50, obeys=False)
    for name, at in enumerate(load.poisson(5 * PLACES, 0, 120)):
        load.arrive(at, FakeClient(name, "flood"))
    for name, at in enumerate(load.poisson(0.3 * PLACES, 0, 120)):
        load.arrive(at, FakeClient(-name - 1, "modest"))
    load.run(until=120)
    modest = [client for client in load.clients if client.tenant == "modest"]
    assert not any(client.refusals for client in modest)
    waits = sorted(c.began - c.came for c in modest if c.began is not None)
    assert waits[len(waits) // 2] < 0.5


def test_who_comes_first_in_a_full_line_is_who_is_more_urgent() -> None:
    admission: Admission[str] = Admission(2, 60.0)
    for name in "ab":
        admission.enter(admission.turn(0.0, 5, key=partial(ord, name)), name, 0.0)
    entered = admission.enter(admission.turn(1.0, -1, key=partial(ord, "c")), "c", 1.0)
    assert isinstance(entered, Entered)
    assert entered.displaced is not None
    assert entered.displaced.waiter.content == "b"
    assert entered.displaced.retry_after >= 1
    assert isinstance(admission.enter(admission.turn(1.0, 5), "d", 1.0), Refused)


@pytest.mark.parametrize("begun", [True, False])
def test_nobody_whose_client_reads_already_or_who_lost_a_worker_makes_way(begun: bool) -> None:
    admission: Admission[str] = Admission(1, 60.0)
    placed = admission.turn(0.0, 5)
    admission.place(placed, 0.0)
    admission.enter(
        replace(placed, begun=begun, lost_worker=not begun), "came back", 1.0, returning=True
    )
    assert isinstance(admission.enter(admission.turn(1.0, -1), "urgent", 1.0), Refused)


def test_who_comes_back_from_a_worker_that_refused_has_its_place_again_and_no_more() -> None:
    admission: Admission[str] = Admission(2, 60.0)
    first, second = admission.turn(0.0), admission.turn(0.0)
    admission.place(first, 0.0)
    admission.enter(second, "second", 0.0)
    admission.enter(first, "first", 1.0, returning=True)
    head = admission.line.head()
    assert head is not None
    assert head.content == "first"
    bill = Bill("poorer")
    entered = admission.enter(admission.turn(1.0, bill=bill), "poorer", 1.0)
    assert isinstance(entered, Entered)
    assert entered.displaced is not None
    assert entered.displaced.waiter.content == "second"
    urgent = admission.enter(admission.turn(1.0, -1), "urgent", 1.0)
    assert isinstance(urgent, Entered)
    assert urgent.displaced is not None
    assert urgent.displaced.waiter.content == "first"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5))
def test_nobody_starves(seed: int, tenants: int) -> None:
    """Before every turn somebody more urgent and somebody of every other tenant joins the line."""
    draw = random.Random(seed)
    admission: Admission[str] = Admission(10**9, 1e9)

    def enter(tenant: int, priority: int, name: str) -> None:
        bill = Bill(str(tenant), draw.choice([1.0, 4.0]), draw.uniform(1000, 2000))
        admission.enter(admission.turn(0.0, priority, bill), name, 0.0)

    admission.shares.charge(Bill("0", 1.0, 2000))  # it is behind from the beginning
    enter(0, 7, "patient")
    for _ in range(OLDEST_EVERY**2):
        enter(draw.randrange(tenants + 1), draw.choice([-5, 0]), "urgent")
        for other in range(1, tenants + 1):
            enter(other, 7, "equal")
        head = admission.line.head()
        assert head is not None
        admission.line.remove(head)
        admission.place(head.turn, 0.0)
        if head.content == "patient":
            return
    raise AssertionError("it waits for ever")


def test_a_tenant_saves_nothing_up_while_it_rests() -> None:
    shares = Shares()
    shares.begin("busy")
    for _ in range(100):
        shares.charge(Bill("busy", 1.0, 50))
    shares.begin("rested")
    assert shares.time_of("rested") == shares.now


def test_a_guess_is_corrected_and_a_failover_costs_nothing() -> None:
    shares, bill = Shares(), Bill("a", 2.0, 100)
    shares.charge(bill)
    shares.charge(bill)
    assert shares.time_of("a") == 50
    shares.settle(bill, 30)
    assert shares.time_of("a") == 15
    unplaced = Bill("a", 2.0, 100)
    shares.settle(unplaced, 30)
    assert shares.time_of("a") == 15


def test_gateways_that_tell_each_other_what_they_served_agree() -> None:
    one, two = Shares(), Shares()
    one.charge(Bill("a", 1.0, 100))
    two.charge(Bill("a", 1.0, 20))
    told = {"a": one.unsent()["a"] + two.unsent()["a"]}
    one.charge(Bill("a", 1.0, 7))
    one.learn(told, 0.0)
    two.learn(told, 0.0)
    assert (one.time_of("a"), two.time_of("a")) == (127, 120)


def test_a_slot_is_for_who_was_told_it_and_is_given_up_when_nobody_comes() -> None:
    promises = Promises()
    first = promises.make(1, "t", now=0.0, soonest=0.0, gap=2.0)
    second = promises.make(2, "t", now=0.0, soonest=0.0, gap=2.0)
    assert (first, second) == (2.0, 4.0)
    assert not promises.redeem(1, 1.0)
    assert not promises.redeem(3, 2.0)
    assert promises.redeem(1, 2.0)
    assert not promises.redeem(1, 2.0)
    assert len(promises) == 1
    promises.expire(4.0 + GRACE)
    assert len(promises) == 0
    assert not promises.redeem(2, 4.0 + GRACE)


def test_the_pace_of_a_line_counts_only_while_somebody_waits() -> None:
    pace = Pace()
    for now in (0.0, 100.0, 200.0):  # nobody waited
        pace.departed(now, still_waiting=False)
    assert pace.rate(200.0) is None
    pace.waiting(300.0)
    for now in range(301, 311):
        pace.departed(float(now), still_waiting=now < 310)
    assert pace.rate(400.0) == pytest.approx(1.0)
    pace.waiting(400.0)
    assert pace.rate(411.0) == pytest.approx(0.5)  # it stands still


def test_who_is_placed_and_comes_back_makes_the_line_no_faster() -> None:
    """As with a worker that refuses: what is told to the refused would be too soon."""

    def rate(rounds: int) -> float | None:
        admission: Admission[str] = Admission(100, 1000.0)
        turns = [admission.turn(0.0) for _ in range(40)]
        waiters = []
        for turn in turns:
            entered = admission.enter(turn, "", 0.0)
            assert isinstance(entered, Entered)
            waiters.append(entered.waiter)
        for now, waiter in enumerate(waiters[:20], 1):  # one a second
            for _ in range(rounds):
                admission.line.remove(waiter)
                admission.place(waiter.turn, float(now))
                back = admission.enter(waiter.turn, "", float(now), returning=True)
                assert isinstance(back, Entered)
                waiter = back.waiter
            admission.line.remove(waiter)
            admission.place(waiter.turn, float(now))
        return admission._paces[False].rate(20.0)

    assert rate(0) == pytest.approx(1.0)
    assert rate(5) == rate(0)


def test_who_waits_for_a_worker_that_is_away_slows_nobody_else_down() -> None:
    """Departures of others while it waits say nothing of a line that others stand in."""
    admission: Admission[str] = Admission(100, 10.0)
    for _ in range(50):
        admission.enter(admission.turn(0.0, lane="away"), "pinned", 0.0)
    for now in range(1, 40):  # one a second, as they come: room for each
        turn = admission.turn(float(now))
        assert admission.line.leads(turn)
        admission.place(turn, float(now))
    assert admission.most(40.0) == 100
    for name in range(50):
        assert isinstance(admission.enter(admission.turn(40.0), str(name), 40.0), Entered)
    assert isinstance(admission.enter(admission.turn(40.0), "one too many", 40.0), Refused)


def test_a_lane_that_stands_still_is_left_out_for_every_tenant_and_shares_hold_in_the_others() -> (
    None
):
    admission: Admission[str] = Admission(100, 10.0)
    for tenant, lane in [("a", "away"), ("b", "away"), ("a", None), ("b", None), ("b", "here")]:
        bill = Bill(tenant, 1.0, 10)
        admission.enter(admission.turn(0.0, bill=bill, lane=lane), f"{tenant}-{lane}", 0.0)
    order = []
    while (head := admission.line.head({"away"})) is not None:
        order.append(head.content)
        admission.line.remove(head)
        admission.place(head.turn, 0.0)
    assert order == ["a-None", "b-None", "b-here"]
    assert (len(admission.line), admission.line.count(particular=True)) == (2, 2)
    assert {waiter.content for waiter in admission.line.clear()} == {"a-away", "b-away"}


def test_of_a_tenant_and_priority_whoever_is_due_first_goes_first() -> None:
    admission: Admission[str] = Admission(100, 30.0)
    wanted = {"patient": math.inf, "tight": 0.5, "loose": 10.0}
    for name, ttft in wanted.items():
        admission.enter(admission.turn(0.0, ttft=ttft), name, 0.0)
    admission.enter(admission.turn(0.0, -1), "urgent", 0.0)
    admission.enter(admission.turn(29.0, ttft=2.0), "later", 29.0)
    order = []
    while (head := admission.line.head()) is not None:
        order.append(head.content)
        admission.line.remove(head)
        admission.place(head.turn, 29.0)
    assert order == ["urgent", "tight", "loose", "patient", "later"]


def test_a_tight_objective_passes_nobody_of_another_tenant() -> None:
    admission: Admission[str] = Admission(100, 30.0)
    admission.shares.charge(Bill("hasty", 1.0, 100))
    admission.enter(admission.turn(0.0, bill=Bill("other")), "other", 0.0)
    hasty = admission.turn(0.0, bill=Bill("hasty"), ttft=0.001)
    assert not admission.line.leads(hasty)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(0, 20))
def test_nobody_starves_behind_tighter_objectives(seed: int, tenants: int, before: int) -> None:
    """Before every turn one of each tenant joins the line who wants to be first of its equals."""
    draw = random.Random(seed)
    admission: Admission[str] = Admission(10**9, 1e9)

    def enter(tenant: int, ttft: float, name: str) -> None:
        bill = Bill(str(tenant), 1.0, draw.uniform(50, 150))
        admission.enter(admission.turn(0.0, bill=bill, ttft=ttft), name, 0.0)

    for _ in range(before):
        enter(draw.randrange(tenants), math.inf, "older")
    enter(0, math.inf, "patient")
    for _ in range(OLDEST_EVERY**2 * (before + 1)):
        for tenant in range(tenants):
            enter(tenant, draw.uniform(0.0, 1.0), "hasty")
        head = admission.line.head()
        assert head is not None
        admission.line.remove(head)
        admission.place(head.turn, 0.0)
        if head.content == "patient":
            return
    raise AssertionError("it waits for ever")


def test_one_of_so_many_places_is_for_whoever_waits_longest_whenever_it_is_due() -> None:
    admission: Admission[str] = Admission(100, 30.0)
    admission.enter(admission.turn(0.0), "patient", 0.0)
    for _ in range(2 * OLDEST_EVERY):
        admission.enter(admission.turn(0.0, ttft=0.1), "hasty", 0.0)
    order = []
    while (head := admission.line.head()) is not None:
        order.append(head.content)
        admission.line.remove(head)
        admission.place(head.turn, 0.0)
    assert order.index("patient") == OLDEST_EVERY - 1
