"""The index of host memory: what is kept in which slot, and what goes first."""

import pytest

from baton.core.errors import InternalError
from baton.engine.blocks.host_tier import HostTier, Kept


def nowhere(name: bytes) -> bool:
    return False


def kept(tier: HostTier, name: bytes, parent: bytes | None = None) -> Kept:
    """Taken in and copied."""
    entry = tier.take_in(name, parent, nowhere)
    assert entry is not None
    tier.done([entry])
    return entry


def found(tier: HostTier, *names: bytes) -> list[bytes]:
    run = tier.lend(names, most=9)
    tier.done(reversed(run))
    return [entry.name for entry in run]


def test_what_was_given_up_is_found_up_to_the_first_gap() -> None:
    tier = HostTier(3)
    kept(tier, b"ab", b"a")
    kept(tier, b"a")
    assert found(tier, b"a", b"ab", b"abc") == [b"a", b"ab"]
    assert found(tier, b"x", b"a") == []
    assert (tier.counts.queries, tier.counts.hits) == (5, 2)
    assert (tier.counts.used, tier.counts.total, tier.counts.stored) == (2, 3, 2)


def test_nothing_is_found_before_its_copy_has_ended() -> None:
    tier = HostTier(2)
    entry = tier.take_in(b"a", None, nowhere)
    assert entry is not None
    assert found(tier, b"a") == []
    tier.done([entry])
    assert found(tier, b"a") == [b"a"]


def test_what_was_used_least_recently_is_overwritten() -> None:
    tier = HostTier(2)
    first = kept(tier, b"a")
    kept(tier, b"b")
    assert tier.take_in(b"a", None, nowhere) is None, "it lies here already"
    third = kept(tier, b"c")
    assert third.slot != first.slot
    assert (found(tier, b"b"), found(tier, b"a")) == ([], [b"a"])
    assert tier.counts.evicted == 1
    kept(tier, b"d")
    assert found(tier, b"a") == [b"a"], "to be brought back is a use"


def test_the_end_of_a_chain_goes_before_its_beginning() -> None:
    tier = HostTier(3)
    for name, parent in ((b"abc", b"ab"), (b"ab", b"a"), (b"a", None)):
        kept(tier, name, parent)
    assert found(tier, b"a", b"ab", b"abc") == [b"a", b"ab", b"abc"]
    for other, rest in ((b"x", [b"a", b"ab"]), (b"y", [b"a"]), (b"z", [])):
        kept(tier, other)
        assert [name for name in (b"a", b"ab", b"abc") if name in tier._by_name] == rest


def test_a_slot_that_is_being_copied_is_not_given_to_another() -> None:
    tier = HostTier(1)
    kept(tier, b"a")
    run = tier.lend([b"a"], most=1)
    assert tier.take_in(b"b", None, nowhere) is None
    tier.done(run)
    assert tier.take_in(b"b", None, nowhere) is not None


def test_what_is_withdrawn_goes_with_all_that_was_computed_from_it() -> None:
    tier = HostTier(6)
    kept(tier, b"abcd", b"abc")
    kept(tier, b"abc", b"ab")
    kept(tier, b"ax", b"a")
    kept(tier, b"z")
    tier.withdraw([b"a", b"ab"])
    assert tier._by_name.keys() == {b"z"}, "though neither parent was here"
    assert tier.counts.used == 1
    tier.check_integrity(nowhere)


def test_what_is_withdrawn_while_it_is_copied_is_not_found_and_its_slot_comes_back_later() -> None:
    tier = HostTier(2)
    filling = tier.take_in(b"a", None, nowhere)
    assert filling is not None
    kept(tier, b"b")
    [reading] = tier.lend([b"b"], most=1)
    tier.withdraw([b"a", b"b"])
    assert filling.gone
    assert reading.gone
    assert tier.take_in(b"c", None, nowhere) is None, "no slot yet"
    tier.done([filling, reading])
    assert found(tier, b"a") == found(tier, b"b") == []
    kept(tier, b"c")
    kept(tier, b"d")
    tier.check_integrity(nowhere)


def test_a_parent_that_stays_on_the_device_may_be_overwritten_alone() -> None:
    tier = HostTier(2)
    kept(tier, b"a")
    kept(tier, b"ab", b"a")
    entry = tier.take_in(b"z", None, lambda name: name == b"a")
    assert entry is not None
    tier.done([entry])
    assert tier._by_name.keys() == {b"ab", b"z"}
    tier.check_integrity(lambda name: name == b"a")
    with pytest.raises(InternalError, match="without its parent"):
        tier.check_integrity(nowhere)


def test_nothing_stays_behind_a_parent_that_nobody_has_any_more() -> None:
    tier = HostTier(2)
    kept(tier, b"a")
    kept(tier, b"ab", b"a")
    kept(tier, b"z")
    assert tier._by_name.keys() == {b"z"}
    reading = tier.lend([b"z"], most=1)
    kept(tier, b"zz", b"z")
    [second] = tier.lend([b"zz"], most=1)
    assert tier.take_in(b"q", None, nowhere) is None, "every slot is being copied"
    tier.done([*reading, second])
    assert tier.take_in(b"z", None, nowhere) is None
    tier.check_integrity(nowhere)


def test_without_slots_nothing_is_kept_or_counted() -> None:
    tier = HostTier(0)
    assert tier.take_in(b"a", None, nowhere) is None
    assert found(tier, b"a") == []
    assert tier.counts.queries == 0
    assert tier.counts.usage == 0.0
