"""The cache's own account of what it gained and lost."""

from baton.core.kv_events import KvChange, key_of
from baton.engine.blocks.kv_log import KvLog, Tier, coalesced

A, B = b"name of a prefix", b"another one"


def change(log: KvLog, after: int) -> KvChange | None:
    events = log.since(after)
    return None if events is None else coalesced(after, events)


def test_only_whole_strides_are_told() -> None:
    log = KvLog(blocks_per_stride=8)
    for depth in (1, 7, 9):
        log.stored(Tier.POOL, A, depth)
    assert log.number == 0
    log.stored(Tier.POOL, A, 8)
    log.stored(Tier.POOL, B, 16)
    assert change(log, 0) == KvChange(0, 2, stored=(key_of(A), key_of(B)))


def test_a_key_is_told_where_it_is_in_the_end_in_each_tier() -> None:
    log = KvLog()
    log.stored(Tier.POOL, A, 1)
    log.removed(Tier.POOL, A, 1)
    log.stored(Tier.HOST, A, 1)
    assert change(log, 0) == KvChange(0, 3, removed=(key_of(A),), stored_on_host=(key_of(A),))
    log.stored(Tier.POOL, A, 1)
    log.removed(Tier.HOST, A, 1)
    assert change(log, 3) == KvChange(3, 5, stored=(key_of(A),), removed_from_host=(key_of(A),))
    assert log.snapshot() == KvChange(0, 5, snapshot=True, stored=(key_of(A),))
    assert change(log, 5) == KvChange(5, 5)


def test_events_beyond_the_bound_are_a_gap_and_the_books_still_right() -> None:
    log = KvLog(remembered=2)
    for name in (A, B, b"third"):
        log.stored(Tier.POOL, name, 1)
    assert log.since(0) is None
    assert change(log, 1) == KvChange(1, 3, stored=(key_of(B), key_of(b"third")))
    assert log.since(4) is None, "nobody can have heard that"
    assert set(log.snapshot().stored) == {key_of(A), key_of(B), key_of(b"third")}


def test_a_key_is_the_first_64_bits_of_a_name() -> None:
    assert key_of(bytes([1, 0, 0, 0, 0, 0, 0, 2, 99])) == 1 + (2 << 56)
