"""A pool with host memory: what it gives up is copied away in time and comes back by its name."""

from collections.abc import Callable

from baton.engine.blocks.block_books import Published
from baton.engine.blocks.block_pool import BlockPool
from tests.support.fake_slots import FakeSlots
from tests.support.publishing import publish_one


def path(*tokens: int) -> list[bytes]:
    """The names of the blocks of a sequence with one token per block."""
    return [bytes(tokens[: i + 1]) for i in range(len(tokens))]


class Bench:
    def __init__(self, num_blocks: int, num_slots: int) -> None:
        self.memory = FakeSlots(num_slots)
        self.pool = BlockPool(num_blocks, self.memory)

    def computed(self, *tokens: int) -> list[int]:
        """A held chain of published blocks; what is found is not computed again."""
        names = path(*tokens)
        blocks = [*(self.pool.take_cached(names, room=0) or ())]
        new = self.pool.allocate(len(names) - len(blocks))
        assert new is not None
        for block in new:
            index = len(blocks)
            parent = Published(blocks[-1], names[index - 1]) if index else None
            self.memory.blocks[block] = names[index]
            assert publish_one(self.pool, block, names[index], parent) == block
            blocks.append(block)
        return blocks

    def used_once(self, *tokens: int) -> None:
        self.pool.release(self.computed(*tokens))

    def overwritten(self, count: int) -> None:
        blocks = self.pool.allocate(count)
        assert blocks is not None
        self.memory.blocks.update(dict.fromkeys(blocks, b"somebody else's"))
        self.pool.release(blocks)

    def found(self, *tokens: int) -> int:
        """How many of these blocks are found, all of them with the right contents."""
        names = path(*tokens)
        run = self.pool.take_cached(names, room=0)
        assert run is not None
        assert [self.memory.blocks[block] for block in run] == names[: len(run)]
        self.pool.release(run)
        self.pool.check_integrity()
        return len(run)


def test_what_was_overwritten_comes_back_in_other_blocks() -> None:
    bench = Bench(num_blocks=4, num_slots=8)
    bench.used_once(1, 2, 3)
    bench.overwritten(4)
    assert bench.found(1, 2, 3, 4) == 3
    counts = bench.pool.host_counts
    assert (counts.queries, counts.hits, counts.stored, counts.used) == (3 + 4, 3, 3, 3)


def test_what_is_still_on_the_device_is_not_brought_back() -> None:
    bench = Bench(num_blocks=4, num_slots=8)
    bench.used_once(1, 2, 3)
    bench.overwritten(2)
    assert bench.found(1, 2, 3) == 3
    assert [kind for kind, _, _ in bench.memory.copies] == ["keep", "bring"]


def test_what_came_back_and_is_given_up_again_is_not_copied_again() -> None:
    bench = Bench(num_blocks=3, num_slots=8)
    for _ in range(3):
        bench.used_once(1, 2)
        bench.overwritten(3)
    assert [kind for kind, _, _ in bench.memory.copies] == ["keep"] * 2 + ["bring"] * 4


def test_as_much_comes_back_as_there_is_room_for() -> None:
    bench = Bench(num_blocks=4, num_slots=8)
    bench.used_once(1, 2, 3, 4)
    bench.overwritten(4)
    reservation = bench.pool.reserve(2)
    assert reservation is not None
    assert bench.found(1, 2, 3, 4) == 2
    reservation.cancel()
    assert bench.found(1, 2, 3, 4) == 4


def test_nothing_comes_back_where_the_caller_has_no_room() -> None:
    bench = Bench(num_blocks=4, num_slots=8)
    bench.used_once(1, 2)
    bench.overwritten(4)
    held = bench.pool.allocate(2)
    assert held is not None
    assert bench.pool.take_cached(path(1, 2), room=3) is None
    assert bench.pool.host_counts.queries == 2, "only when they were computed"
    assert bench.pool.take_cached(path(1, 2), room=2) is not None
    assert bench.pool.host_counts.hits == 2


def test_blocks_that_come_back_push_others_out_in_the_same_call() -> None:
    bench = Bench(num_blocks=3, num_slots=6)
    for _ in range(3):
        for tokens in ((1, 2, 3), (4, 5, 6)):
            bench.used_once(*tokens)
            assert bench.found(*tokens) == 3
    assert bench.pool.host_counts.hits == 12


def test_what_is_pushed_out_by_the_slots_own_contents_is_lost_where_these_are_all() -> None:
    bench = Bench(num_blocks=3, num_slots=3)
    bench.used_once(1, 2, 3)
    bench.used_once(4, 5, 6)
    assert bench.found(1, 2, 3) == 3
    assert bench.found(4, 5, 6) == 0


def test_blocks_that_are_set_aside_are_copied_away_before_their_holder_has_them() -> None:
    """A pull, which writes at once."""
    bench = Bench(num_blocks=2, num_slots=8)
    bench.used_once(1, 2)
    reservation = bench.pool.reserve(2)
    blocks = bench.pool.allocate(2, reservation)
    assert blocks is not None
    assert sorted(bench.memory.slots.values()) == path(1, 2)
    bench.memory.blocks.update(dict.fromkeys(blocks, b"pulled"))
    bench.pool.release(blocks)
    assert bench.found(1, 2) == 2


def test_the_oldest_chain_is_lost_first_and_from_its_end() -> None:
    bench = Bench(num_blocks=3, num_slots=4)
    bench.used_once(1, 2, 3)
    bench.used_once(4, 5, 6)
    bench.overwritten(3)
    assert bench.pool.host_counts.evicted == 2
    assert bench.found(4, 5, 6) == 3
    assert bench.found(1, 2, 3) == 1


def test_a_withdrawn_block_takes_out_of_the_slots_what_was_computed_from_it() -> None:
    bench = Bench(num_blocks=3, num_slots=8)
    bench.used_once(1, 2, 3)
    bench.overwritten(3)
    first = bench.computed(1)
    bench.pool.withdraw(first)
    assert bench.found(1, 2, 3) == 0
    bench.pool.release(first)
    bench.used_once(1)
    assert bench.found(1, 2, 3) == 1, "nor when its parent is there again"


def test_what_is_withdrawn_while_it_comes_back_is_not_found() -> None:
    bench = Bench(num_blocks=4, num_slots=8)
    bench.used_once(1, 2, 3)
    bench.overwritten(4)
    [first] = bench.computed(1)
    bench.memory.meanwhile(lambda: bench.pool.withdraw([first]))
    assert bench.pool.take_cached(path(1, 2, 3), room=0) == (first,), "it was found before"
    bench.pool.release([first, first])
    assert bench.found(1, 2, 3) == 0
    assert bench.pool.free == 4
    assert bench.pool.host_counts.used == 0


def test_what_is_withdrawn_while_it_is_copied_away_is_not_found() -> None:
    """Its parent is on the device, and the failed work had read that."""
    bench = Bench(num_blocks=3, num_slots=8)
    first = bench.computed(1)
    bench.used_once(1, 2)
    bench.memory.meanwhile(lambda: bench.pool.withdraw(first))
    bench.overwritten(2)
    bench.pool.release(first)
    bench.used_once(1)
    assert bench.found(1, 2) == 1
    assert bench.pool.host_counts.used == 0


def during_a_return(bench: Bench, act: Callable[[], None]) -> tuple[int, ...]:
    """Brings three blocks back, and `act` happens in the middle."""
    bench.used_once(1, 2, 3)
    bench.overwritten(bench.pool.total)
    bench.memory.meanwhile(act)
    run = bench.pool.take_cached(path(1, 2, 3), room=3)
    assert run is not None
    return run


def test_two_that_bring_the_same_back_end_up_with_the_same_blocks() -> None:
    bench, other = Bench(num_blocks=8, num_slots=8), list[int]()
    run = during_a_return(bench, lambda: other.extend(bench.computed(1, 2, 3)))
    assert list(run) == other
    assert bench.pool.free == 5
    bench.pool.release(run)
    bench.pool.release(other)
    assert bench.found(1, 2, 3) == 3


def test_a_slot_is_not_overwritten_while_it_is_read() -> None:
    bench = Bench(num_blocks=8, num_slots=3)
    run = during_a_return(bench, lambda: bench.used_once(7, 8, 9))
    assert [bench.memory.blocks[block] for block in run] == path(1, 2, 3)
    bench.pool.release(run)
    assert bench.found(1, 2, 3) == 3


def test_waiters_hear_of_blocks_that_did_not_come_back() -> None:
    bench, told = Bench(num_blocks=4, num_slots=8), list[int]()
    bench.pool.on_free(lambda: told.append(bench.pool.free))
    run = during_a_return(bench, lambda: bench.pool._host.tier.withdraw(path(1)))
    assert run == ()
    assert told[-1] == 4


def test_where_more_is_given_up_at_once_than_there_are_slots_nothing_is_left_without_parent() -> (
    None
):
    bench = Bench(num_blocks=3, num_slots=2)
    bench.used_once(1, 2, 3)
    bench.overwritten(3)
    assert bench.pool.host_counts.used == 0
    bench.used_once(1)
    bench.overwritten(3)
    assert bench.found(1) == 1
