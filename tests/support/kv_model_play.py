"""Plays the model of hand-offs by numbers, and says what must hold when all is over."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from kv_transfer.receiver_states import ReceiverState
from tests.support.kv_model import World, free_but_for
from tests.support.kv_model_books import Action
from tests.support.kv_model_relay import Relay


@dataclass
class Tally:
    """Which faults have met which states of a receiver."""

    met: defaultdict[str, set[ReceiverState]] = field(default_factory=lambda: defaultdict(set))

    def note(self, fault: str, relays: Sequence[Relay]) -> None:
        self.met[fault] |= {relay.machine.state for relay in relays if relay.place.alive}


def check_nothing_is_held(world: World) -> None:
    for relay in world.relays:
        assert relay.over
        assert not relay.reads
        if relay.place.alive:
            assert (relay.delivered is None) == (relay.machine.state is ReceiverState.FAILED)
            assert (relay.failed is None) == (relay.machine.state is ReceiverState.DONE)
    delivered = [r.delivered for r in world.relays if r.place is world.decode and r.delivered]
    if world.decode.alive:
        assert free_but_for(world.decode.pool, sum(len(d.blocks) for d in delivered))
    if world.prefill.alive:
        table = world.prefill.table
        counts = table.counts()
        assert (counts.open_leases, counts.leased_blocks, counts.waiting_pulls) == (0, 0, 0)
        assert free_but_for(world.prefill.pool, 0)
        assert all(r.leases_over == 1 for r in world.relays if r.home is world.prefill)
        assert table.next_deadline is None


def play(world: World, decisions: list[int], fault_in: int, tally: Tally | None = None) -> None:
    """Each number picks one of the actions possible then, one in `fault_in` of them a fault."""
    for number in decisions:
        kind, choice = number % fault_in, number // fault_in
        actions = faults(world) if kind == 0 else [((), action) for action in world.progress()]
        if actions:
            befallen, (name, act) = actions[choice % len(actions)]
            if tally is not None:
                tally.note(name, befallen)
            act()


def faults(world: World) -> list[tuple[Sequence[Relay], Action]]:
    """Each with the hand-offs that it befalls."""
    own: list[tuple[Sequence[Relay], Action]] = [
        (world.relays, action) for action in world.own_faults()
    ]
    return own + [([relay], action) for relay in world.relays for action in relay.faults()]


def played(seed: int, fault_in: int, tally: Tally | None = None) -> World:
    """A long run of a few hand-offs, some of which come late, checked at its end."""
    numbers = random.Random(seed)
    world = World(checksums=bool(seed % 2))
    for _ in range(3):
        for _ in range(numbers.randint(1, 2)):
            world.add(numbers.randint(1, 17), numbers.randint(0, 2), numbers.random() < 0.3)
        play(world, [numbers.randrange(10**6) for _ in range(100)], fault_in, tally)
    world.drain()
    check_nothing_is_held(world)
    return world


def twice_disturbed(seed: int, names: Sequence[str], tally: Tally | None = None) -> World:
    """One hand-off in random order, disturbed by the first and later by the second of two of the
    named faults, as soon as each is possible.
    """
    numbers = random.Random(seed)
    world = World(checksums=bool(seed % 2))
    world.add(numbers.randint(4, 17), numbers.randint(0, 1), numbers.random() < 0.3)
    for name in numbers.choices(names, k=2):
        for _ in range(numbers.randrange(16)):
            if actions := world.progress():
                numbers.choice(actions)[1]()
        for _ in range(16):
            if found := [f for f in faults(world) if f[1][0] == name]:
                befallen, (_, act) = found[0]
                if tally is not None:
                    tally.note(name, befallen)
                act()
                break
            if actions := world.progress():
                numbers.choice(actions)[1]()
    world.drain()
    check_nothing_is_held(world)
    return world
