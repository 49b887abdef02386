"""What a gateway believes of a decode worker's room, against a worker whose messages are late."""

import random
from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from baton.core.room import Room
from gateway.placing.claims import Claim, Claims


def test_what_was_asked_for_is_taken_until_the_answer_and_by_readings_from_then_on() -> None:
    claims, claim = Claims(), Claim(3)
    claims.hear(Room(1, 10, seats=4))
    claims.add(claim)
    assert claims.left == Room(1, 7, seats=4, seated=((0, 1),))
    claims.hear(Room(2, 7, seats=4, seated=((0, 1),)))  # beside the answer
    claims.remove(claim)
    assert claims.left == Room(2, 7, seats=4, seated=((0, 1),))


def test_a_reading_that_was_overtaken_says_nothing() -> None:
    claims = Claims()
    claims.hear(Room(5, 2))
    claims.hear(Room(4, 9))
    assert claims.left.free_blocks == 2


def test_seats_of_one_priority_are_counted_together() -> None:
    claims = Claims()
    claims.hear(Room(1, 10, seats=8, seated=((-1, 2), (0, 3))))
    claims.add(Claim(1, 2, 0))
    claims.add(Claim(1, 1, 7))
    assert claims.left.seated == ((-1, 2), (0, 5), (7, 1))


def test_who_is_refused_knows_that_there_is_less_until_the_next_reading() -> None:
    claims, claim = Claims(), Claim(6)
    claims.hear(Room(1, 10))
    claims.add(claim)
    claims.remove(claim)
    claims.refused(claim)
    assert claims.left.free_blocks == 5
    claims.hear(Room(2, 8))
    assert claims.left.free_blocks == 8
    claims.refused(Claim(2))
    claims.forget_refusals()
    assert claims.left.free_blocks == 8


class LateWorker:
    """Says yes or no at once; what it says comes late, in order within one stream alone."""

    def __init__(self, blocks: int) -> None:
        self.free = blocks
        self.readings = 0
        self.asked: deque[Claim] = deque()
        self.running: list[Claim] = []
        self.told: list[deque[tuple[Room, Claim | None]]] = [deque()]  # loads, then answers
        self.refusals = 0

    def room(self) -> Room:
        self.readings += 1
        return Room(self.readings, self.free)

    def decide(self) -> None:
        claim = self.asked.popleft()
        if claim.blocks > self.free:
            self.refusals += 1
            return
        self.free -= claim.blocks
        self.running.append(claim)
        self.told.append(deque([(self.room(), claim)]))

    def end(self, claim: Claim) -> None:
        self.running.remove(claim)
        self.free += claim.blocks
        self.told.append(deque([(self.room(), None)]))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_one_gateway_is_never_refused_whatever_is_late_and_believes_the_truth_at_rest(
    seed: int,
) -> None:
    draw = random.Random(seed)
    worker, claims = LateWorker(20), Claims()
    claims.hear(worker.room())

    def hear(stream: deque[tuple[Room, Claim | None]]) -> None:
        room, claim = stream.popleft()
        claims.hear(room)
        if claim is not None:
            claims.remove(claim)

    for _ in range(200):
        match draw.randrange(5):
            case 0:
                claim = Claim(draw.randint(1, 8))
                if claim.blocks <= claims.left.free_blocks:
                    claims.add(claim)
                    worker.asked.append(claim)
            case 1 if worker.asked:
                worker.decide()
            case 2 if worker.running:
                worker.end(draw.choice(worker.running))
            case 3:
                worker.told[0].append((worker.room(), None))
            case 4 if streams := [stream for stream in worker.told if stream]:
                hear(draw.choice(streams))
    while worker.asked:
        worker.decide()
    while streams := [stream for stream in worker.told if stream]:
        hear(draw.choice(streams))
    assert worker.refusals == 0
    assert claims.left.free_blocks == worker.free
