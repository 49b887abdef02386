"""What the status page shows of the cluster, and what of it is news."""

from typing import Any

import pytest

from baton.core.step_totals import StepSums, StepTotals
from gateway.placing import link_traffic
from gateway.placing.link_traffic import LinkTraffic
from gateway.ui.changes import Changes
from gateway.ui.throughput import Throughput, TokenRates


def test_a_link_has_a_rate_while_something_moves_and_a_total_for_good() -> None:
    traffic = LinkTraffic()
    for second in range(10):
        traffic.add("p", "d", 1000, float(second), "shm", 0.002)
    [link] = traffic
    assert link.rate(9.0) == 1000.0
    assert link.rate(11.5) == 600.0
    assert link.rate(30.0) == 0.0
    assert (link.bytes, link.transfers, link.transport, link.exposed) == (10_000, 10, "shm", 0.002)


def test_what_is_no_hand_off_leaves_what_the_latest_one_took() -> None:
    traffic = LinkTraffic()
    traffic.add("d", "p", 5, 0.0, "tcp", 0.5)
    traffic.add("d", "p", 5, 0.1, "shm")
    [link] = traffic
    assert (link.transport, link.exposed, link.transfers) == ("shm", 0.5, 2)


def test_links_go_with_their_workers_and_with_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_traffic, "MOST_LINKS", 2)
    traffic = LinkTraffic()
    for source in ("a", "b", "c"):
        traffic.add(source, "d", 1, 0.0, "shm")
    assert [link.source for link in traffic] == ["b", "c"]
    traffic.drop("b")
    assert [link.source for link in traffic] == ["c"]
    traffic.drop("d")
    assert not [*traffic]


def totals(read: int, written: int) -> dict[str, StepTotals]:
    writing = StepSums(sequences=written // 2)
    reading = StepSums(read_tokens=read, sequences=written - written // 2)
    return {"w": StepTotals(writing, reading)}


def test_rates_are_of_the_time_between_looks() -> None:
    throughput = Throughput()
    assert throughput.rates(totals(0, 0), 10.0) == {}
    assert throughput.rates(totals(500, 20), 10.5) == {"w": TokenRates(1000.0, 40.0)}
    assert throughput.rates(totals(500, 20), 11.0) == {"w": TokenRates(500.0, 20.0)}


def test_looks_that_follow_closely_do_not_shorten_the_window() -> None:
    throughput = Throughput()
    for hundredth in range(1001):
        rates = throughput.rates(totals(hundredth, 0), 10 + hundredth / 100)
    assert rates["w"].read == pytest.approx(100, rel=0.01)
    assert len(throughput._looks) < 15


def test_a_look_after_a_long_time_begins_anew() -> None:
    throughput = Throughput()
    throughput.rates(totals(0, 0), 0.0)
    assert throughput.rates(totals(1_000_000, 0), 60.0) == {}
    assert throughput.rates(totals(1_000_100, 0), 61.0) == {"w": TokenRates(100.0, 0.0)}


def test_a_worker_that_has_just_come_has_no_rate_yet() -> None:
    throughput = Throughput()
    throughput.rates({}, 0.0)
    assert throughput.rates(totals(5, 5), 1.0) == {}


def state(now: int, *requests: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"now": now, "workers": ["w"], "queued": 0, "requests": [*requests]} | changes


def test_the_first_news_is_everything() -> None:
    one = {"number": 1, "tokens": 5}
    assert Changes().since(state(1, one)) == {**state(1, one), "shown": [1]}


def test_afterwards_only_what_differs_is_news() -> None:
    changes = Changes()
    one, two = {"number": 1, "tokens": 5}, {"number": 2, "tokens": 0}
    changes.since(state(1, one))
    assert changes.since(state(2, one)) is None
    assert changes.since(state(3, one, queued=1)) == {"now": 3, "queued": 1}
    news = changes.since(state(4, two, one, queued=1))
    assert news == {"now": 4, "requests": [two], "shown": [2, 1]}
    grown = {"number": 2, "tokens": 3}
    assert changes.since(state(5, grown, one, queued=1)) == {"now": 5, "requests": [grown]}
    assert changes.since(state(6, grown, queued=1)) == {"now": 6, "shown": [2]}
