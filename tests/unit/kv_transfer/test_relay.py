"""Both machines joined by a network that loses, repeats, reorders and breaks."""

import random

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from kv_transfer.receiver_states import ReceiverState
from tests.support.kv_model import World
from tests.support.kv_model_books import Action

pytestmark = pytest.mark.unit

DECISIONS = st.lists(st.integers(0, 10**6), min_size=40, max_size=160)
# Tokens of each, and how many blocks decode has already: more than can be right, sometimes.
PROMPTS = st.lists(st.tuples(st.integers(1, 17), st.integers(0, 5)), min_size=1, max_size=3)


def check_nothing_is_held(world: World) -> None:
    for relay in world.relays:
        assert relay.machine.over
        assert (relay.delivered is None) == (relay.machine.state is ReceiverState.FAILED)
        assert (relay.failed is None) == (relay.machine.state is ReceiverState.DONE)
        assert not relay.reads
    kept = [b for r in world.relays if r.delivered for b in r.delivered.blocks]
    assert len(world.target.free) == len(world.target.refs) - len(kept)
    if world.sender_alive:
        counts = world.table.counts()
        assert (counts.open_leases, counts.leased_blocks) == (0, 0)
        assert len(world.source.free) == len(world.source.refs)
        assert all(r.leases_over == (r.lease is not None) for r in world.relays)
        assert world.table.next_deadline is None


def play(world: World, decisions: list[int], fault_in: int) -> None:
    """Each number picks one of the actions possible then, one in `fault_in` of them a fault."""
    for number in decisions:
        kind, choice = number % fault_in, number // fault_in
        actions = world.faults() if kind == 0 else world.progress()
        if actions:
            actions[choice % len(actions)][1]()


@settings(max_examples=400, deadline=None)
@given(PROMPTS, DECISIONS, st.sampled_from([4, 12, 40]))
def test_whatever_happens_no_block_leaks_and_only_right_bytes_are_usable(
    prompts: list[tuple[int, int]], decisions: list[int], fault_in: int
) -> None:
    world = World()
    for num_tokens, cached in prompts:
        world.add(num_tokens, cached)
    play(world, decisions, fault_in)
    world.drain()
    check_nothing_is_held(world)
    event(f"delivered {sum(r.delivered is not None for r in world.relays)} of {len(prompts)}")


@pytest.mark.parametrize("fault_in", [15, 40, 100])
def test_over_hundreds_of_long_random_runs_the_same_holds(fault_in: int) -> None:
    delivered = 0
    for seed in range(200):
        numbers = random.Random(seed)
        world = World()
        for _ in range(3):
            world.add(numbers.randint(1, 17), numbers.randint(0, 2))
        play(world, [numbers.randrange(10**6) for _ in range(300)], fault_in)
        world.drain()
        check_nothing_is_held(world)
        delivered += sum(relay.delivered is not None for relay in world.relays)
    assert delivered > 10  # or the runs above have shown nothing


@settings(max_examples=150, deadline=None)
@given(PROMPTS, DECISIONS)
def test_without_faults_every_hand_off_delivers_in_whatever_order_things_happen(
    prompts: list[tuple[int, int]], decisions: list[int]
) -> None:
    world = World(sender_blocks=20, receiver_blocks=20)
    for num_tokens, cached in prompts:
        world.add(num_tokens, cached)
    for number in [*decisions, *[0] * 400]:
        actions: list[Action] = world.progress()
        if not actions:
            break
        actions[number % len(actions)][1]()
    assert all(relay.delivered for relay in world.relays)
    world.drain()
    check_nothing_is_held(world)
    assert world.table.counts().confirmed == len(prompts)


def undisturbed() -> list[str]:
    """The names of the actions of one hand-off that nothing disturbs."""
    world, names = World(), []
    world.add(10)
    while actions := world.progress():
        names.append(actions[0][0])
        actions[0][1]()
    return names


LENGTH = len(undisturbed())


@pytest.mark.parametrize("step", range(LENGTH + 1))
@pytest.mark.parametrize(
    "fault",
    [
        "decode gives up",
        "an abort is sent",
        "the stream breaks",
        "the gateway leaves",
        "prefill fails",
        "a long time passes",
        "the sender dies",
        "a read fails",
        "a block changes on its way",
        "confirm is lost",
    ],
)
@pytest.mark.parametrize("cached", [0, 1, 2, 3])
def test_one_fault_at_any_point_frees_both_sides(step: int, fault: str, cached: int) -> None:
    world = World()
    world.add(10, cached)
    for _ in range(step):
        if actions := world.progress():  # with cached blocks there are fewer
            actions[0][1]()
    faults = [act for name, act in world.faults() if name == fault]
    if faults:
        faults[0]()
    world.drain()
    check_nothing_is_held(world)
