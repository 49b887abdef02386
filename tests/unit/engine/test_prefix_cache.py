"""Published blocks in the pool: found, kept, revived, evicted, withdrawn."""

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from baton.core.errors import InternalError
from baton.core.kv_events import key_of
from baton.engine.blocks.block_books import Published
from baton.engine.blocks.block_pool import KEPT_SHARE, BlockPool
from tests.support.fake_slots import FakeSlots
from tests.support.publishing import publish_one


def name(*tokens: int) -> bytes:
    """Of the block that ends a sequence with these tokens, one token per block."""
    return bytes(tokens)


def path(*tokens: int) -> list[bytes]:
    """The names of all its blocks."""
    return [bytes(tokens[: i + 1]) for i in range(len(tokens))]


def published(pool: BlockPool, *tokens: int) -> list[int]:
    """A held chain of blocks with these tokens, all of them new to the pool."""
    blocks = pool.allocate(len(tokens))
    assert blocks is not None
    parent = None
    for block, its_name in zip(blocks, path(*tokens), strict=True):
        assert publish_one(pool, block, its_name, parent) == block
        parent = Published(block, its_name)
    return list(blocks)


def found(pool: BlockPool, *tokens: int) -> list[int]:
    """Looked up without keeping them."""
    run = pool.take_cached(path(*tokens), room=0)
    assert run is not None
    pool.release(run)
    return list(run)


def test_a_block_is_found_while_it_is_held_and_after_it() -> None:
    pool = BlockPool(4)
    blocks = published(pool, 1, 2, 3)
    assert found(pool, 1, 2, 3, 4) == blocks
    pool.release(blocks)
    assert pool.free == 4
    assert found(pool, 1, 2, 9) == blocks[:2]
    assert found(pool, 2, 3) == []


def test_what_is_found_is_held_and_no_longer_free() -> None:
    pool = BlockPool(4)
    blocks = published(pool, 1, 2)
    pool.release(blocks)
    assert pool.take_cached(path(1, 2), room=3) == tuple(blocks)
    assert pool.free == 2
    assert pool.allocate(3) is None
    pool.check_integrity()


def test_plain_blocks_are_taken_before_cached_ones_and_the_oldest_of_these_first() -> None:
    pool = BlockPool(5)
    old, new = published(pool, 1), published(pool, 2)
    pool.release(old)
    pool.release(new)
    assert not {*old, *new} & {*(pool.allocate(3) or ())}
    assert found(pool, 1) == old, "and it was used now"
    assert pool.allocate(1) == tuple(new)
    assert found(pool, 2) == []
    assert found(pool, 1) == old


def test_children_go_before_their_parents_in_whatever_order_they_were_given_up() -> None:
    pool = BlockPool(3)
    blocks = published(pool, 1, 2, 3)
    for block in blocks:
        pool.release((block,))
    assert pool.free == 3
    taken = [pool.allocate(1) for _ in range(3)]
    assert taken == [(block,) for block in reversed(blocks)]


def test_a_parent_that_nobody_holds_stays_while_a_child_is_held() -> None:
    pool = BlockPool(3)
    parent, child = published(pool, 1, 2)
    pool.release((parent,))
    assert pool.free == 1
    assert pool.allocate(2) is None
    pool.check_integrity()
    pool.release((child,))
    assert pool.free == 3


def test_room_is_asked_for_what_must_be_new_or_revived() -> None:
    pool = BlockPool(4)
    blocks = published(pool, 1, 2)
    assert pool.take_cached(path(1, 2), room=4) is not None, "shared blocks cost nothing"
    pool.release(blocks)
    pool.release(blocks)
    assert pool.reserve(1) is not None
    assert pool.take_cached(path(1, 2), room=4) is None
    assert pool.free == 3, "and nothing changed"
    assert pool.take_cached(path(1, 2), room=3) is not None


def test_a_reserved_block_is_not_lost_to_a_revival() -> None:
    pool = BlockPool(2)
    pool.release(published(pool, 1, 2))
    reservation = pool.reserve(1)
    assert reservation is not None
    assert pool.take_cached(path(1, 2), room=0) is None
    assert pool.allocate(1, reservation) is not None


def test_the_first_published_stays_and_the_second_gives_its_reference_to_it() -> None:
    pool = BlockPool(4)
    [first] = published(pool, 1)
    (second,) = pool.allocate(1) or ()
    assert publish_one(pool, second, name(1), None) == first
    assert pool.free == 3
    pool.release((first,))
    assert pool.free == 3
    pool.release((first,))
    assert pool.free == 4
    pool.check_integrity()


def test_one_that_may_not_be_swapped_stays_its_holders_own() -> None:
    pool = BlockPool(4)
    [first] = published(pool, 1)
    second, tail = pool.allocate(2) or ()
    assert publish_one(pool, second, name(1), None, may_swap=False) == first
    pool.release((first,))
    assert publish_one(pool, tail, name(1, 2), Published(first, name(1)), may_swap=False) == tail
    assert pool.free == 1, "the first is needed to find the tail"
    assert found(pool, 1, 2) == [first, tail]
    pool.release((second, tail))
    assert pool.free == 4
    pool.check_integrity()


def test_keeping_a_parent_never_takes_what_is_reserved() -> None:
    pool = BlockPool(3)
    [first] = published(pool, 1)
    own, tail = pool.allocate(2) or ()
    pool.release((first,))
    reservation = pool.reserve(1)
    assert reservation is not None
    assert publish_one(pool, tail, name(1, 2), Published(first, name(1)), may_swap=False) is None
    pool.retain((own,))
    assert publish_one(pool, own, name(1), None) is None, (
        "another still holds what would be swapped"
    )
    assert pool.allocate(1, reservation) == (first,)


def test_nothing_is_published_below_a_block_that_is_gone() -> None:
    pool = BlockPool(2)
    [first] = published(pool, 1)
    pool.release((first,))
    both = pool.allocate(2)
    assert both is not None
    assert publish_one(pool, both[0], name(1, 2), Published(first, name(1))) is None
    assert publish_one(pool, first, name(7), None) == first
    assert publish_one(pool, both[0], name(1, 2), Published(first, name(1))) is None, (
        "reused meanwhile"
    )


def test_publishing_again_changes_nothing_and_another_name_is_a_defect() -> None:
    pool = BlockPool(2)
    [block] = published(pool, 1)
    assert publish_one(pool, block, name(1), None) == block
    with pytest.raises(InternalError, match="another name"):
        publish_one(pool, block, name(2), None)
    pool.release((block,))
    with pytest.raises(InternalError, match="not held"):
        publish_one(pool, block, name(1), None)


def test_what_is_withdrawn_is_not_found_nor_what_was_computed_from_it() -> None:
    pool, told = BlockPool(5), list[int]()
    pool.on_free(lambda: told.append(pool.free))
    one, two, three = published(pool, 1, 2, 3)
    (sibling,) = pool.allocate(1) or ()
    assert publish_one(pool, sibling, name(1, 9), Published(one, name(1))) == sibling
    pool.release((sibling,))
    pool.release((two,))
    pool.withdraw([two])
    assert found(pool, 1, 2, 3) == [one]
    assert found(pool, 1, 9) == [one, sibling]
    assert pool.free == 3, "the third is still held"
    pool.withdraw([one])
    assert found(pool, 1) == []
    pool.release((one, three))
    assert pool.free == 5
    assert told[-1] == 5
    pool.check_integrity()


def test_a_withdrawn_block_that_only_its_child_kept_comes_free_and_that_is_told() -> None:
    pool, told = BlockPool(3), list[int]()
    parent, child = published(pool, 1, 2)
    pool.release((parent,))
    pool.on_free(lambda: told.append(pool.free))
    pool.withdraw([child])
    assert told == [2]
    assert found(pool, 1) == [parent]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def kept_pool(num_blocks: int) -> tuple[BlockPool, Clock]:
    clock = Clock()
    return BlockPool(num_blocks, clock=clock), clock


def test_what_is_to_be_kept_goes_last_and_is_free_all_the_same() -> None:
    pool, _ = kept_pool(8)
    kept, other = published(pool, 1, 2), published(pool, 3, 4)
    pool.keep(kept[-1], 60)
    pool.release(kept)
    pool.release(other)
    assert pool.free == 8
    assert not {*kept} & {*(pool.allocate(6) or ())}
    assert found(pool, 1, 2) == kept
    assert found(pool, 3) == []
    assert pool.allocate(1) == (kept[1],), "the child first"
    assert pool.allocate(1) == (kept[0],)


def test_after_its_time_it_goes_like_any_other() -> None:
    pool, clock = kept_pool(8)
    kept, other = published(pool, 1, 2), published(pool, 3, 4)
    pool.keep(kept[-1], 60)
    pool.release(kept)
    clock.now = 60
    assert pool.allocate(4) is not None
    pool.check_integrity()
    pool.release(other)
    assert not {*other} & {*(pool.allocate(2) or ())}


def test_no_more_than_its_share_of_the_pool_is_kept_and_of_a_chain_the_first_ones() -> None:
    pool, _ = kept_pool(8)
    chain, late = published(pool, 1, 2, 3), published(pool, 4)
    pool.keep(chain[-1], 60)
    pool.keep(late[-1], 60)
    assert pool._books.cache.num_kept == 8 * KEPT_SHARE == 2
    pool.release(late)
    pool.release(chain)
    assert {*(pool.allocate(6) or ())} >= {late[0], chain[2]}
    assert found(pool, 1, 2) == chain[:2]
    pool.check_integrity()


@dataclass
class Table:
    """A sequence's blocks, one token each."""

    tokens: list[int]
    blocks: list[int]
    shared: list[int] = field(default_factory=list)  # what the pool finds for the first ones
    lent: bool = False


class PrefixCacheMachine(RuleBasedStateMachine):
    """Sequences over a tiny alphabet, so that they meet often; tables go up in any order.

    With slots, whatever else may happen happens in the middle of copies too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.memory = FakeSlots(0)
        self.clock = Clock()
        self.pool = BlockPool(7)
        self.tables: list[Table] = []

    @initialize(num_slots=st.sampled_from([0, 1, 3, 6, 20]))
    def build(self, num_slots: int) -> None:
        self.memory = FakeSlots(num_slots)
        self.pool = BlockPool(7, self.memory if num_slots else None, clock=self.clock)

    @rule(
        act=st.sampled_from(["publish", "end", "fail", "need", "begin"]),
        index=st.integers(0, 6),
        tokens=st.lists(st.integers(1, 2), min_size=1, max_size=5),
    )
    def something_happens_during_the_next_copy(
        self, act: str, index: int, tokens: list[int]
    ) -> None:
        """The tables that are there by then decide on whom."""

        def happen() -> None:
            if act == "begin":
                self._begin(tokens, lent=False, room=0)
            elif act == "need":
                self._need(1 + index)
            elif self.tables:
                table = self.tables[index % len(self.tables)]
                {"publish": self._publish, "end": self._end, "fail": self._fail}[act](table)

        self.memory.meanwhile(happen)

    @rule(
        tokens=st.lists(st.integers(1, 2), min_size=1, max_size=5),
        lent=st.booleans(),
        room=st.integers(0, 7),
    )
    def begin(self, tokens: list[int], lent: bool, room: int) -> None:
        self._begin(tokens, lent, room)

    def _begin(self, tokens: list[int], lent: bool, room: int) -> None:
        free = self.pool.free
        run = self.pool.take_cached(path(*tokens), room)
        if run is None:
            assert free < 7
            assert self.pool.free == free
            return
        for index, block in enumerate(run):
            assert self.memory.blocks[block] == name(*tokens[: index + 1])
        new = self.pool.allocate(len(tokens) - len(run))
        if new is None:
            self.pool.release(run)
            return
        assert not set(new) & {b for t in self.tables for b in t.blocks}
        self.tables.append(Table(tokens, [*run, *new], list(run), lent))
        for index, block in enumerate(new, len(run)):
            self.memory.blocks[block] = name(*tokens[: index + 1])  # computed

    @precondition(lambda self: self.tables)
    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        self._publish(data.draw(st.sampled_from(self.tables)))

    def _publish(self, table: Table) -> None:
        while (index := len(table.shared)) < len(table.blocks):
            names = path(*table.tokens)
            parent = Published(table.shared[-1], names[index - 1]) if index else None
            block = table.blocks[index]
            got = publish_one(self.pool, block, names[index], parent, may_swap=not table.lent)
            if got is None:
                return
            assert self.memory.blocks[got] == names[index]
            table.shared.append(got)
            if not table.lent:
                table.blocks[index] = got

    @precondition(lambda self: self.pool._books.cache._by_block)
    @rule(data=st.data(), seconds=st.integers(1, 3))
    def keep(self, data: st.DataObject, seconds: int) -> None:
        self.pool.keep(
            data.draw(st.sampled_from(sorted(self.pool._books.cache._by_block))), seconds
        )

    @rule(seconds=st.integers(1, 3))
    def time_passes(self, seconds: int) -> None:
        self.clock.now += seconds

    @precondition(lambda self: self.tables)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        table = data.draw(st.sampled_from(self.tables))
        self.tables.remove(table)
        for block in data.draw(st.permutations(table.blocks)):
            self.pool.release((block,))

    def _end(self, table: Table) -> None:
        self.tables.remove(table)
        self.pool.release(table.blocks)

    @precondition(lambda self: self.tables)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        self._fail(data.draw(st.sampled_from(self.tables)))

    def _fail(self, table: Table) -> None:
        self.tables.remove(table)
        doubtful = [self.pool._books.cache.name_of(block) for block in table.blocks]
        self.pool.withdraw(table.blocks)
        self.pool.release(table.blocks)
        assert not any(block in self.pool._books.cache for block in table.blocks)
        for one in (*self.pool._books.cache._by_name, *self.pool._host.tier._by_name):
            assert not any(top is not None and one.startswith(top) for top in doubtful)

    @rule(count=st.integers(1, 7))
    def somebody_else_needs_some(self, count: int) -> None:
        self._need(count)

    def _need(self, count: int) -> None:
        blocks = self.pool.allocate(count)
        if blocks is not None:
            assert not set(blocks) & {b for t in self.tables for b in t.blocks}
            for block in blocks:
                self.memory.blocks[block] = b"somebody else's"
            self.pool.release(blocks)

    @rule(count=st.integers(1, 7))
    def a_reservation_is_honoured(self, count: int) -> None:
        reservation = self.pool.reserve(count)
        if reservation is not None:
            for table in self.tables:
                run = self.pool.take_cached(path(*table.tokens), 0)
                self.pool.release(run or ())
            blocks = self.pool.allocate(count, reservation)
            assert blocks is not None
            self.pool.release(blocks)

    @invariant()
    def the_books_balance(self) -> None:
        self.pool.check_integrity()
        held = {b for t in self.tables for b in t.blocks}
        assert self.pool.free <= self.pool.total - len(held)
        if not held:
            assert self.pool.free == self.pool.total

    @invariant()
    def no_more_is_kept_than_may_be(self) -> None:
        assert self.pool._books.cache.num_kept <= 7 * KEPT_SHARE

    @invariant()
    def no_cached_block_is_without_its_parent(self) -> None:
        names = set(self.pool._books.cache._by_name)
        assert all(len(one) == 1 or one[:-1] in names for one in names)
        kept = set(self.pool._host.tier._by_name)
        assert all(len(one) == 1 or one[:-1] in names | kept for one in kept)

    @invariant()
    def the_log_says_what_is_here(self) -> None:
        told = self.pool.kv_change(None)
        assert sorted(told.stored) == sorted(map(key_of, self.pool._books.cache._by_name))
        assert sorted(told.stored_on_host) == sorted(map(key_of, self.pool._host.tier._by_name))

    @invariant()
    def names_lead_to_what_they_name(self) -> None:
        for one, entry in self.pool._books.cache._by_name.items():
            assert self.memory.blocks[entry.block] == one
        for one, kept in self.pool._host.tier._by_name.items():
            assert self.memory.slots[kept.slot] == one


TestPrefixCacheMachine = PrefixCacheMachine.TestCase
TestPrefixCacheMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
