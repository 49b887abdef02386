"""Counts of who holds which block."""

import threading

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from baton.core.errors import InternalError
from baton.engine.blocks.block_pool import BlockPool
from baton.engine.blocks.reservation import Reservation


def allocated(pool: BlockPool, count: int) -> tuple[int, ...]:
    blocks = pool.allocate(count)
    assert blocks is not None
    return blocks


def reserved(pool: BlockPool, count: int) -> Reservation:
    reservation = pool.reserve(count)
    assert reservation is not None
    return reservation


def test_more_than_is_free_is_refused_and_changes_nothing() -> None:
    pool = BlockPool(4)
    allocated(pool, 3)
    assert pool.allocate(2) is None
    assert pool.reserve(2) is None
    assert pool.free == 1


def test_reserved_blocks_are_kept_from_others() -> None:
    pool = BlockPool(4)
    reservation = reserved(pool, 3)
    assert (pool.free, pool.reserved) == (1, 3)
    assert pool.allocate(2) is None
    assert len(pool.allocate(3, reservation) or ()) == 3
    assert (pool.free, pool.reserved) == (1, 0)


def test_an_allocation_takes_what_its_reservation_lacks_and_frees_what_it_does_not_need() -> None:
    pool = BlockPool(6)
    assert pool.allocate(3, reserved(pool, 2)) is not None
    assert pool.allocate(1, reserved(pool, 3)) is not None
    assert (pool.free, pool.reserved) == (2, 0)


def test_a_refused_allocation_keeps_its_reservation() -> None:
    pool = BlockPool(4)
    allocated(pool, 1)
    reservation = reserved(pool, 2)
    assert pool.allocate(4, reservation) is None
    assert (reservation.count, pool.reserved) == (2, 2)


def test_a_reservation_is_cancelled_once() -> None:
    pool = BlockPool(4)
    reservation = reserved(pool, 3)
    reservation.cancel()
    reservation.cancel()
    assert (pool.free, pool.reserved, reservation.count) == (4, 0, 0)


def test_a_spent_reservation_counts_for_nothing() -> None:
    pool = BlockPool(4)
    reservation = reserved(pool, 3)
    reservation.cancel()
    allocated(pool, 3)
    assert pool.allocate(2, reservation) is None


def test_a_block_is_free_after_its_last_reference() -> None:
    pool = BlockPool(2)
    blocks = allocated(pool, 2)
    pool.retain(blocks[:1])
    pool.release(blocks)
    assert pool.free == 1
    pool.release(blocks[:1])
    assert pool.free == 2


@pytest.mark.parametrize("ids", [(1,), (0, 1), (0, 0), (7,), (-1,)])
def test_releasing_what_nobody_holds_is_a_defect_and_changes_nothing(ids: tuple[int, ...]) -> None:
    pool = BlockPool(2)
    assert pool.allocate(1) == (0,)
    with pytest.raises(InternalError):
        pool.release(ids)
    assert pool.free == 1
    pool.check_integrity()


def test_a_free_block_cannot_be_retained() -> None:
    with pytest.raises(InternalError):
        BlockPool(2).retain((1,))


def test_whoever_waits_is_told_of_every_way_in_which_blocks_come_free() -> None:
    pool, told = BlockPool(4), list[int]()
    pool.on_free(lambda: told.append(pool.free))
    blocks = allocated(pool, 2)
    pool.retain(blocks)
    pool.release(blocks)
    assert told == []
    pool.release(blocks)
    reserved(pool, 2).cancel()
    pool.allocate(1, reserved(pool, 3))
    assert told == [4, 4, 3]


def test_threads_never_get_the_same_block() -> None:
    pool, taken = BlockPool(400), list[tuple[int, ...]]()

    def take() -> None:
        for _ in range(50):
            taken.append(allocated(pool, 2))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    ids = [block for blocks in taken for block in blocks]
    assert sorted(ids) == list(range(400))


class BlockPoolMachine(RuleBasedStateMachine):
    """Against a model of plain lists: one entry per reference held."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(8)
        self.held: list[int] = []
        self.reservations: list[tuple[Reservation, int]] = []

    @rule(count=st.integers(0, 9))
    def allocate(self, count: int) -> None:
        free = self.pool.free
        blocks = self.pool.allocate(count)
        assert (blocks is None) == (count > free)
        self._take(blocks, count)

    @rule(count=st.integers(0, 9))
    def reserve(self, count: int) -> None:
        free = self.pool.free
        reservation = self.pool.reserve(count)
        assert (reservation is None) == (count > free)
        if reservation:
            self.reservations.append((reservation, count))

    @precondition(lambda self: self.reservations)
    @rule(data=st.data(), count=st.integers(0, 9))
    def allocate_reserved(self, data: st.DataObject, count: int) -> None:
        pair = data.draw(st.sampled_from(self.reservations))
        reservation, held = pair
        free = self.pool.free
        blocks = self.pool.allocate(count, reservation)
        assert (blocks is None) == (count > free + held)
        if blocks is not None:
            self.reservations.remove(pair)
            self._take(blocks, count)

    @precondition(lambda self: self.reservations)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        pair = data.draw(st.sampled_from(self.reservations))
        pair[0].cancel()
        self.reservations.remove(pair)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def retain(self, data: st.DataObject) -> None:
        block = data.draw(st.sampled_from(self.held))
        self.pool.retain((block,))
        self.held.append(block)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        block = data.draw(st.sampled_from(self.held))
        self.pool.release((block,))
        self.held.remove(block)

    @invariant()
    def the_books_balance(self) -> None:
        self.pool.check_integrity()
        assert self.pool.reserved == sum(count for _, count in self.reservations)
        assert self.pool.free + self.pool.reserved + len(set(self.held)) == self.pool.total

    def _take(self, blocks: tuple[int, ...] | None, count: int) -> None:
        if blocks is not None:
            assert len(set(blocks)) == count
            assert not set(blocks) & set(self.held)
            self.held += blocks


TestBlockPoolMachine = BlockPoolMachine.TestCase
