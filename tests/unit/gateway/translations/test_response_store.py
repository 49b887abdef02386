"""What is kept of responses, for whom, how much and how long."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.translations.response_store import Bounds, ResponseStore


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def make(count: int = 3, size: int = 100, seconds: float = 10) -> tuple[ResponseStore, FakeClock]:
    clock = FakeClock()
    return ResponseStore(Bounds(count, size, seconds), clock), clock


def put(store: ResponseStore, name: str, tenant: str = "t", size: int = 10) -> bool:
    return store.put(tenant, name, b"x" * size, b"", "completed")


def test_the_oldest_makes_room_by_count_and_by_size() -> None:
    store, _ = make()
    for name in "abcd":
        assert put(store, name)
    assert [store.get("t", name) is None for name in "abcd"] == [True, False, False, False]
    assert put(store, "e", size=85)
    assert [store.get("t", name) is None for name in "bcd"] == [True, True, False]
    assert not put(store, "f", size=101)
    assert store.get("t", "e") is not None


def test_each_tenant_has_its_own() -> None:
    store, _ = make(count=1)
    put(store, "a", "t")
    put(store, "b", "u")
    assert store.get("t", "a") is not None
    assert store.get("u", "a") is None
    assert not store.delete("u", "a")
    assert store.delete("t", "a")
    assert store.get("t", "a") is None


def test_time_makes_room() -> None:
    store, clock = make()
    put(store, "a")
    clock.now = 9
    put(store, "b")
    assert store.get("t", "a") is not None
    clock.now = 10
    assert store.get("t", "a") is None
    assert store.get("t", "b") is not None


def test_a_store_may_keep_nothing() -> None:
    for bounds in ({"count": 0}, {"size": 0}):
        store, _ = make(**bounds)
        assert not put(store, "a")
    store, _ = make(seconds=0)
    put(store, "a")
    assert store.get("t", "a") is None


puts = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("tu"), st.integers(0, 120)))


@given(puts)
def test_the_bounds_hold_and_the_last_that_fits_is_there(steps: list[tuple[str, str, int]]) -> None:
    store, _ = make()
    for name, tenant, size in steps:
        kept = put(store, name, tenant, size)
        assert kept is (size <= 100)
        assert not kept or store.get(tenant, name) is not None
        for each in "tu":
            there = [store.get(each, n) for n in "abcdefgh"]
            sizes = [kept.size for kept in there if kept is not None]
            assert len(sizes) <= 3
            assert sum(sizes) <= 100
