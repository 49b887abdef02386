"""Who holds which prefix: followed through losses, repeats, restarts and evictions."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from baton.core.kv_events import KvChange
from gateway.prefixes.prefix_index import PrefixIndex
from tests.support.cache_follower import CachingWorker, Prompt, keys_of, settle

CHAIN = [10, 20, 30, 40, 50]


def snapshot(*keys: int, upto: int = 0) -> KvChange:
    return KvChange(0, upto, snapshot=True, stored=keys)


def index_of(**held: int) -> PrefixIndex:
    """Workers that hold so many of the chain's first keys."""
    index = PrefixIndex()
    for worker, count in held.items():
        assert index.hear(worker, snapshot(*CHAIN[:count]))
    return index


def test_each_holder_is_found_with_what_it_holds() -> None:
    index = index_of(a=5, b=2, c=0, d=2, e=1)
    assert index.held(CHAIN) == {"a": 5, "b": 2, "d": 2, "e": 1}
    assert index.held([10, 20, 99]) == {"a": 2, "b": 2, "d": 2, "e": 1}
    assert index.held([99, 10]) == {}
    assert index.held([]) == {}
    assert [index.held_by(worker, CHAIN) for worker in "abcx"] == [5, 2, 0, 0]


def test_many_holders_are_found_like_few() -> None:
    index = PrefixIndex()
    for number in range(100):
        index.hear(f"w{number}", snapshot(*CHAIN[: number % 6]))
    index.drop("w50")
    expected = {f"w{n}": n % 6 for n in range(100) if n % 6 and n != 50}
    assert index.held(CHAIN) == expected


def test_what_moves_to_host_memory_is_still_held() -> None:
    index = index_of(a=3)
    assert index.hear("a", KvChange(0, 2, removed=(30,), stored_on_host=(30,)))
    assert index.held(CHAIN) == {"a": 3}
    assert index.keys_of("a") == ({10, 20}, {30})
    assert index.hear("a", KvChange(2, 3, removed_from_host=(30,)))
    assert index.held(CHAIN) == {"a": 2}
    index.check_integrity()


def test_what_lies_in_both_places_is_held_until_it_is_in_neither() -> None:
    index = index_of(a=1)
    assert index.hear("a", KvChange(0, 1, stored_on_host=(10,)))
    assert index.hear("a", KvChange(1, 2, removed_from_host=(10,)))
    assert index.held(CHAIN) == {"a": 1}
    assert index.hear("a", KvChange(2, 3, removed=(10,)))
    assert index.held(CHAIN) == {}
    assert len(index) == 0


def test_a_worker_that_left_holds_nothing_and_another_takes_its_place() -> None:
    index = index_of(a=3, b=2)
    index.drop("a")
    assert index.held(CHAIN) == {"b": 2}
    assert len(index) == 2
    assert index.hear("c", snapshot(10))
    assert index.held(CHAIN) == {"b": 2, "c": 1}
    index.drop("never seen")
    index.check_integrity()


def test_a_gap_is_noticed_and_only_a_snapshot_mends_it() -> None:
    index = index_of(a=1)
    assert index.number("a") == 0
    assert not index.hear("a", KvChange(1, 2, stored=(20,)))
    assert index.number("a") is None
    assert not index.hear("a", KvChange(0, 1, stored=(20,)))
    assert index.held(CHAIN) == {"a": 1}, "the old belief stands meanwhile"
    assert index.hear("a", snapshot(10, 20, 30, upto=3))
    assert index.number("a") == 3
    assert index.held(CHAIN) == {"a": 3}


def test_nothing_is_believed_before_the_first_snapshot() -> None:
    index = PrefixIndex()
    assert not index.hear("a", KvChange(0, 1, stored=(10,)))
    assert index.held(CHAIN) == {}


def test_what_was_heard_is_heard_again_without_harm() -> None:
    index = index_of(a=1)
    first, second = KvChange(0, 1, stored=(20,)), KvChange(1, 2, removed=(20,))
    for change in (first, second, first, second):
        assert index.hear("a", change)
    assert index.held(CHAIN) == {"a": 1}
    assert index.number("a") == 2


def test_a_snapshot_in_pieces_is_a_snapshot() -> None:
    whole = KvChange(0, 7, snapshot=True, stored=tuple(CHAIN), stored_on_host=(60, 70))
    parts = list(whole.parts(2))
    assert [len(part) for part in parts] == [0, 2, 2, 1, 2]
    index = index_of(a=2)
    for part in parts:
        assert index.number("a") is None or part.snapshot
        assert index.hear("a", part)
    assert index.keys_of("a") == (set(CHAIN), {60, 70})
    assert index.number("a") == 7
    assert list(whole.parts(7)) == [whole]
    assert index.hear("a", parts[0])
    assert index.hear("a", parts[1])
    assert not index.hear("a", parts[3]), "one is missing"
    assert not index.hear("a", parts[4])
    assert index.number("a") is None


def test_later_events_are_not_taken_for_the_rest_of_a_snapshot() -> None:
    first, *lost = snapshot(*CHAIN, upto=7).parts(4)
    index = index_of(a=0)
    assert index.hear("a", first)
    assert [len(part) for part in lost] == [4, 1]
    assert not index.hear("a", KvChange(7, 12, stored=(60, 70, 80, 90, 99))), "as many as were lost"
    assert index.number("a") is None


PROMPTS = st.lists(st.integers(0, 1), min_size=1, max_size=10)


class FollowedCaches(RuleBasedStateMachine):
    """Three workers' real pools, whose events come late, twice or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.index = PrefixIndex()
        self.workers = [CachingWorker(name) for name in "abc"]
        self.heard: list[tuple[str, KvChange]] = []

    @rule(which=st.integers(0, 2), prompt=PROMPTS, unsound=st.sampled_from([False] * 7 + [True]))
    def read(self, which: int, prompt: Prompt, unsound: bool) -> None:
        self.workers[which].read(prompt, unsound)

    @rule(which=st.integers(0, 2), lost=st.booleans())
    def say(self, which: int, lost: bool) -> None:
        worker = self.workers[which]
        for change in worker.says():
            if lost and not change.snapshot:
                continue
            self.heard.append((worker.instance_id, change))
            if not self.index.hear(worker.instance_id, change):
                worker.told = None
                return

    @rule(back=st.integers(1, 4))
    def repeat(self, back: int) -> None:
        if len(self.heard) >= back:
            instance_id, change = self.heard[-back]
            for worker in self.workers:
                if worker.instance_id == instance_id and not self.index.hear(instance_id, change):
                    worker.told = None

    @rule(which=st.integers(0, 2))
    def restart(self, which: int) -> None:
        worker = self.workers[which]
        self.index.drop(worker.instance_id)
        worker.restart()

    @rule(prompt=PROMPTS)
    def come_to_rest(self, prompt: Prompt) -> None:
        for worker in self.workers:
            settle(self.index, worker)
            assert self.index.keys_of(worker.instance_id) == worker.keys_held()
        held = self.index.held(keys_of(prompt))
        for worker in self.workers:
            true = worker.strides_held(prompt)
            assert held.get(worker.instance_id, 0) == true
            assert self.index.held_by(worker.instance_id, keys_of(prompt)) == true

    @invariant()
    def masks_and_holdings_say_the_same(self) -> None:
        self.index.check_integrity()

    def teardown(self) -> None:
        self.come_to_rest([0, 1])


TestFollowedCaches = FollowedCaches.TestCase
TestFollowedCaches.settings = settings(
    max_examples=20, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_ten_thousand_events_leave_no_drift() -> None:
    many = settings(
        max_examples=20,
        stateful_step_count=500,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(FollowedCaches, settings=many)
