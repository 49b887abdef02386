"""Which members are kept out of use."""

from dataclasses import replace

from baton.core.embeddings import embeddings_fingerprint
from baton.core.worker_info import Role
from gateway.members.compatibility import unusable
from tests.support.gateway_members import make_fingerprint, make_info

A, B = make_fingerprint("a"), make_fingerprint("b")


def test_a_matching_pair_is_usable() -> None:
    pair = [make_info("p", Role.PREFILL, A), make_info("d", Role.DECODE, A)]
    assert unusable(pair) == {}


def test_a_worker_that_waits_for_its_partner_is_usable() -> None:
    assert unusable([make_info("d", Role.DECODE, A), make_info("e", Role.DECODE, B)]) == {}


def test_a_worker_that_nobody_can_exchange_with_is_refused_and_told_why() -> None:
    stranger = make_info("p1", Role.PREFILL, B)
    members = [make_info("p0", Role.PREFILL, A), stranger, make_info("d", Role.DECODE, A)]
    reasons = unusable(members)
    assert list(reasons) == [stranger.instance_id]
    assert "model_digest" in reasons[stranger.instance_id]


def test_another_model_than_the_one_served_is_refused_even_where_a_pair_of_it_is_complete() -> None:
    foreign = [make_info("p", Role.PREFILL, B), make_info("d", Role.DECODE, B)]
    reasons = unusable([*foreign, make_info("e", Role.DECODE, A)], "a")
    assert list(reasons) == [info.instance_id for info in foreign]
    assert "not the one that this gateway serves" in reasons[foreign[0].instance_id]


def test_an_encode_worker_is_used_where_somebody_can_read_with_it() -> None:
    fits = make_info("e0", Role.ENCODE, embeddings_fingerprint(A, 64))
    other = make_info("e1", Role.ENCODE, replace(embeddings_fingerprint(A, 64), revision="r"))
    decode = make_info("d", Role.DECODE, A)

    assert unusable([fits, decode]) == {}
    assert unusable([fits, other]) == {}  # they wait for readers
    reasons = unusable([fits, other, decode])
    assert list(reasons) == [other.instance_id]
    assert "revision" in reasons[other.instance_id]
