"""Both machines joined by a network that loses, repeats, reorders and breaks."""

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from kv_transfer.receiver_states import ReceiverState
from tests.support.kv_model import World
from tests.support.kv_model_books import Action, Link
from tests.support.kv_model_play import (
    Tally,
    check_nothing_is_held,
    play,
    played,
    twice_disturbed,
)

pytestmark = pytest.mark.unit

DECISIONS = st.lists(st.integers(0, 10**6), min_size=40, max_size=160)
# Tokens of each, how many blocks the receiver has already (more than can be right, sometimes), and
# whether the Pull asks for cached blocks.
PROMPTS = st.lists(
    st.tuples(st.integers(1, 17), st.integers(0, 5), st.booleans()), min_size=1, max_size=3
)


ANYWHERE = [
    "decode gives up",
    "an abort is sent",
    "the stream breaks",
    "the gateway leaves",
    "the gateway dies",
    "prefill fails",
    "a long time passes",
    "the sender dies",
    "the sender comes back",
    "decode dies",
    "decode comes back",
    "a read fails",
    "a block changes on its way",
    "confirm is lost",
    "a neighbour at prefill takes what is free",
    "a neighbour at decode takes what is free",
    *(f"{link.value} falls silent" for link in Link),
]
R = ReceiverState
POSSIBLE = {  # where not in every state
    "the stream breaks": {R.OPENING, R.RECEIVING, R.CONFIRMING},
    "a read fails": {R.RECEIVING, R.ABORTING},
    "a block changes on its way": {R.RECEIVING, R.ABORTING},
    "confirm is lost": {R.CONFIRMING},
    "prefill fails": {R.RESERVED, R.OPENING, R.RECEIVING, R.FAILED},
}


@settings(max_examples=400, deadline=None)
@given(PROMPTS, DECISIONS, st.sampled_from([4, 12, 40]))
def test_whatever_happens_no_block_leaks_and_only_right_bytes_are_usable(
    prompts: list[tuple[int, int, bool]], decisions: list[int], fault_in: int
) -> None:
    world = World()
    for prompt in prompts:
        world.add(*prompt)
    play(world, decisions, fault_in)
    world.drain()
    check_nothing_is_held(world)
    event(f"delivered {sum(r.delivered is not None for r in world.relays)} of {len(prompts)}")


@pytest.mark.parametrize("fault_in", [15, 40, 100])
def test_over_hundreds_of_long_random_runs_the_same_holds(fault_in: int) -> None:
    worlds = [played(seed, fault_in) for seed in range(200)]
    delivered = sum(relay.delivered is not None for world in worlds for relay in world.relays)
    assert delivered > 10  # or the runs above have shown nothing


def test_two_faults_anywhere_free_both_sides_and_every_fault_meets_every_state() -> None:
    tally = Tally()
    for seed in range(20_000):
        twice_disturbed(seed, ANYWHERE, tally)
        if seed >= 3000 and not never_met(tally):
            return
    assert never_met(tally) == {}


def never_met(tally: Tally) -> dict[str, set[ReceiverState]]:
    """Faults, each with the states that it could have met."""
    missed = {name: POSSIBLE.get(name, set(R)) - tally.met[name] for name in ANYWHERE}
    return {name: states for name, states in missed.items() if states}


@settings(max_examples=150, deadline=None)
@given(PROMPTS, DECISIONS)
def test_without_faults_every_hand_off_delivers_in_whatever_order_things_happen(
    prompts: list[tuple[int, int, bool]], decisions: list[int]
) -> None:
    world = World(sender_blocks=20, receiver_blocks=20)
    for prompt in prompts:
        world.add(*prompt)
    for number in [*decisions, *[0] * 400]:
        actions: list[Action] = world.progress()
        if not actions:
            break
        actions[number % len(actions)][1]()
    assert all(relay.delivered for relay in world.relays)
    world.drain()
    check_nothing_is_held(world)
    assert world.prefill.table.counts().confirmed == len(prompts)


def undisturbed() -> list[str]:
    """The names of the actions of one hand-off that nothing disturbs: the longest there is."""
    world, names = World(), []
    world.add(10)
    while actions := world.progress():
        names.append(actions[0][0])
        actions[0][1]()
    return names


LENGTH = len(undisturbed())


@pytest.mark.parametrize("step", range(LENGTH + 1))
@pytest.mark.parametrize("fault", ANYWHERE)
@pytest.mark.parametrize("cached", [0, 1, 3])
@pytest.mark.parametrize("cached_there", [False, True])
def test_one_fault_at_any_point_frees_both_sides(
    step: int, fault: str, cached: int, cached_there: bool
) -> None:
    world = World()
    world.add(10, cached, cached_there)
    for _ in range(step):
        if actions := world.progress():  # with cached blocks there are fewer
            actions[0][1]()
    faults = [act for name, act in world.faults() if name == fault]
    if faults:
        faults[0]()
    world.drain()
    check_nothing_is_held(world)
