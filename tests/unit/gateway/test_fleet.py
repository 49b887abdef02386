"""A fleet says of its candidates what they say themselves, also after they have changed."""

import random
from dataclasses import dataclass, replace

import pytest

from baton.core.room import Room
from baton.core.worker_info import Role
from gateway.placing.candidate import Candidate
from gateway.placing.fleet import _FIELDS, Columns, Fleet
from gateway.placing.placement import place, takers
from gateway.placing.scoring import Ask
from tests.support.gateway_members import make_fingerprint, make_info, make_load

KINDS = (make_fingerprint("a"), make_fingerprint("b"))


def candidate(name: str, draw: random.Random, **kw: object) -> Candidate:
    """`name` says its role and, for ever, its kind."""
    role = Role.PREFILL if name.startswith("p") else Role.DECODE
    load = make_load(draw.randrange(20), draw.choice([0, 0, 3]), draw.randrange(100))
    load = replace(load, room=Room(free_blocks=load.free_blocks, seats=draw.choice([None, 4])))
    info = make_info(name, role, KINDS[int(name[1:]) % 2])
    return Candidate(info, load, unread=draw.randrange(3000), **kw)  # type: ignore[arg-type]


def names(count: int) -> list[str]:
    return [f"{role}{number}" for number in range(count) for role in "pd"]


def test_a_column_is_what_each_candidate_says() -> None:
    draw = random.Random(1)
    crowd = [candidate(name, draw) for name in names(5)]
    columns = Columns(crowd)
    columns.put(3, replace_of(crowd[3], draw))
    for name in _FIELDS:
        said = [float(getattr(one, name)) for one in columns.candidates]
        assert getattr(columns, name).tolist() == said
    held = {crowd[2].instance_id: 256, "a stranger": 128}
    assert columns.held(held) == pytest.approx([0, 0, 256, *[0] * (len(crowd) - 3)])
    everybody = {one.instance_id: 128 * place for place, one in enumerate(crowd)}
    assert columns.held(everybody) == pytest.approx([128 * place for place in range(len(crowd))])
    assert columns.held({}) == 0.0
    assert len(Columns()) == 0


def replace_of(one: Candidate, draw: random.Random) -> Candidate:
    return candidate(one.info.worker_id, draw)


@dataclass(eq=False)
class FakeStanding:
    candidate: Candidate


def test_a_fleet_that_has_changed_decides_as_a_new_one() -> None:
    draw = random.Random(2)
    standing = {name: FakeStanding(candidate(name, draw)) for name in names(8)}
    fleet = Fleet(one.candidate for one in standing.values())
    for _ in range(300):
        one = standing[draw.choice(list(standing))]
        one.candidate = replace_of(one.candidate, draw)
        if draw.random() < 0.5:
            fleet.put(one.candidate)
        else:
            fleet.outdated(one)
        fleet.put(candidate("d99", draw))  # nobody asked for it
        if draw.random() < 0.1:
            gone = draw.choice(list(standing))
            standing[gone].candidate = replace_of(standing[gone].candidate, draw)
            fleet.become(one.candidate for one in standing.values())
        fresh = [one.candidate for one in standing.values()]
        ask = Ask(draw.randrange(1, 1500), choices=draw.choice([1, 3]))
        assert set(fleet) == set(fresh)
        assert len(fleet) == len(fresh)
        assert fresh[0] in fleet
        assert place(fleet, ask) == place(fresh, ask)
        assert takers(fleet, ask) == takers(Fleet(fresh), ask)


def test_a_fleet_of_nobody_takes_nothing() -> None:
    assert place(Fleet(), Ask(10)) is None
    assert takers([], Ask(10)) == []
    assert list(Fleet()) == []
