"""Images go to the encode worker that keeps them, unless it has too much to do."""

import hashlib
from collections import Counter

from baton.core.worker_info import Role
from gateway.placing.candidate import Candidate
from gateway.placing.encode_choice import SLACK, choose
from tests.support.gateway_members import make_info

DIGESTS = [hashlib.sha256(bytes([number])).digest() for number in range(200)]


def pool(*loads: int) -> list[Candidate]:
    return [
        Candidate(make_info(f"e{number}", Role.ENCODE), None, load)
        for number, load in enumerate(loads)
    ]


def named(digest: bytes, able: list[Candidate]) -> str:
    chosen = choose(digest, able)
    assert chosen is not None
    return chosen.info.worker_id


def test_nobody_able_is_nobody() -> None:
    assert choose(DIGESTS[0], []) is None


def test_equal_images_meet_and_others_are_spread() -> None:
    able = pool(0, 0, 0, 0)
    where = [named(digest, able) for digest in DIGESTS]

    assert where == [named(digest, able[::-1]) for digest in DIGESTS]
    assert min(Counter(where).values()) > len(DIGESTS) / 8
    assert len(set(where)) == 4


def test_one_that_leaves_takes_only_its_own_images_along() -> None:
    able = pool(0, 0, 0, 0)
    for digest in DIGESTS:
        before, after = named(digest, able), named(digest, able[1:])
        assert before in ("e0", after)


def test_who_has_too_much_to_do_is_spared() -> None:
    for digest in DIGESTS:
        owner = int(named(digest, pool(0, 0, 0))[1:])
        loads = [0, 0, 0]
        loads[owner] = SLACK
        assert named(digest, pool(*loads)) == f"e{owner}"
        loads[owner] = SLACK + 1
        elsewhere = named(digest, pool(*loads))
        assert elsewhere != f"e{owner}"
        loads[owner] += 5
        assert named(digest, pool(*loads)) == elsewhere  # again one place for all
