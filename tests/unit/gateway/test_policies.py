"""Where a request goes by the simple policies, decided from readings alone."""

import random
from collections import Counter

from baton.core.worker_info import Role, WorkerState
from gateway.placing.candidate import Candidate
from gateway.placing.placement import Alone, Decision, Pair
from gateway.placing.policies import PrefixAware, policy_of
from gateway.placing.scoring import Ask
from tests.support.gateway_members import make_fingerprint, make_info, make_load

P, D = Role.PREFILL, Role.DECODE
A, B = make_fingerprint("a"), make_fingerprint("b")


def prefill(name: str = "p", requests: int = 0, **kw: object) -> Candidate:
    return Candidate(make_info(name, P, A), make_load(running=requests))


def decode(name: str = "d", requests: int = 0, free: int = 100) -> Candidate:
    return Candidate(make_info(name, D, A), make_load(running=requests, free=free))


def placement_of(decision: Decision | None) -> Pair | Alone | None:
    return None if decision is None else decision.placement


def names(candidates: list[Candidate], prompt_tokens: int = 20) -> tuple[str, ...] | None:
    match placement_of(PrefixAware().place(candidates, Ask(prompt_tokens))):
        case Pair(first, second):
            return first.worker_id, second.worker_id
        case Alone(only):
            return (only.worker_id,)
    return None


def test_the_least_loaded_pair_is_taken() -> None:
    crowd = [prefill("p0", 2), prefill("p1", 1), decode("d0", 1), decode("d1", 3)]
    assert names(crowd) == ("p1", "d0")


def test_own_requests_count_before_the_reading_knows_of_them() -> None:
    busy = Candidate(make_info("d0", D, A), make_load(), in_flight=3)
    assert names([prefill(), busy, decode("d1", 2)]) == ("p", "d1")


def test_among_equals_the_emptier_pool_wins() -> None:
    assert names([prefill(), decode("d0", free=50), decode("d1", free=60)]) == ("p", "d1")


def test_without_a_living_prefill_worker_decode_works_alone() -> None:
    assert names([decode()]) == ("d",)
    draining = Candidate(make_info("p", P, A), make_load(state=WorkerState.DRAINING))
    assert names([draining, decode()]) == ("d",)


def test_a_prefill_worker_that_is_out_of_touch_is_waited_for() -> None:
    assert names([Candidate(make_info("p", P, A), None), decode()]) is None


def test_a_prefill_worker_that_refused_is_waited_for() -> None:
    refused = Candidate(make_info("p", P, A), make_load(), refused=True)
    assert names([refused, decode()]) is None
    assert names([refused, prefill("q"), decode()]) == ("q", "d")


def test_without_a_decode_worker_nothing_fits() -> None:
    assert names([]) is None
    assert names([prefill()]) is None
    assert names([prefill(), Candidate(make_info("d", D, A), None)]) is None


def test_a_decode_worker_needs_room_for_the_prompt_and_a_token() -> None:
    assert names([prefill(), decode(free=2)], prompt_tokens=16) == ("p", "d")
    assert names([prefill(), decode(free=2)], prompt_tokens=17) is None


def test_a_prefill_worker_queues_so_it_needs_no_room() -> None:
    full = Candidate(make_info("p", P, A), make_load(free=0))
    assert names([full, decode()]) == ("p", "d")


def test_a_worker_that_drains_or_refused_gets_nothing() -> None:
    draining = Candidate(make_info("d0", D, A), make_load(state=WorkerState.DRAINING))
    refused = Candidate(make_info("d1", D, A), make_load(), refused=True)
    assert names([prefill(), draining, refused]) is None
    assert names([prefill(), draining, refused, decode("d2", 9)]) == ("p", "d2")


def test_unequal_fingerprints_are_never_paired() -> None:
    other = Candidate(make_info("d0", D, B), make_load())
    assert names([prefill(), other]) is None
    assert names([prefill(), other, decode("d1", 9)]) == ("p", "d1")


def test_a_doubted_worker_is_the_last_resort() -> None:
    for role, sound in ((P, prefill("p1", 9)), (D, decode("d1", 9))):
        name = "p0" if role is P else "d0"
        doubted = Candidate(make_info(name, role, A), make_load(), doubted=True)
        partner = decode() if role is P else prefill()
        found, alone = names([doubted, sound, partner]), names([doubted, partner])
        assert found is not None
        assert sound.info.worker_id in found
        assert alone is not None
        assert name in alone


def test_a_doubted_link_is_taken_only_where_there_is_no_other() -> None:
    crowd = [prefill("p0"), prefill("p1", 5), decode("d0"), decode("d1", 5)]

    def taken(*doubted: tuple[str, str]) -> object:
        links = {(f"instance-of-{p}", f"instance-of-{d}") for p, d in doubted}
        ask = Ask(20, doubted_links=frozenset(links))
        return placement_of(PrefixAware().place(crowd, ask))

    def pair(prefill_id: str, decode_id: str) -> Pair:
        infos = {c.info.worker_id: c.info for c in crowd}
        return Pair(infos[prefill_id], infos[decode_id])

    assert taken() == pair("p0", "d0")
    assert taken(("p0", "d0")) == pair("p1", "d0")
    assert taken(("p0", "d0"), ("p1", "d0")) == pair("p0", "d1")
    everywhere = [(p, d) for p in ("p0", "p1") for d in ("d0", "d1")]
    assert taken(*everywhere) == pair("p0", "d0")


def waits(name: str, unread: int) -> Candidate:
    return Candidate(make_info(name, P, A), make_load(), unread=unread)


def chosen(crowd: list[Candidate], prompt_tokens: int, **held: int) -> tuple[str, str]:
    by_instance = {f"instance-of-{name}": tokens for name, tokens in held.items()}
    placed = placement_of(PrefixAware().place(crowd, Ask(prompt_tokens, held=by_instance)))
    assert isinstance(placed, Pair)
    return placed.prefill.worker_id, placed.decode.worker_id


def test_prefill_goes_where_the_fewest_tokens_are_to_be_computed_first() -> None:
    crowd = [waits("p0", 0), waits("p1", 0), waits("p2", 0), decode()]
    assert chosen(crowd, 1000) == ("p0", "d")
    assert chosen(crowd, 1000, p1=128) == ("p1", "d")
    assert chosen(crowd, 1000, p1=128, p2=896) == ("p2", "d")


def test_a_hot_prefix_draws_only_while_its_line_is_shorter_than_computing_it() -> None:
    for line, expected in ((700, "p1"), (767, "p1"), (769, "p0"), (5000, "p0")):
        crowd = [waits("p0", 0), waits("p1", line), decode()]
        assert chosen(crowd, 1000, p1=768) == (expected, "d")
    crowd = [waits("p0", 0), waits("p1", 768), decode()]
    assert chosen(crowd, 1000, p1=768) == ("p0", "d"), "and of equals the first"


def test_requests_decide_among_equal_lines() -> None:
    assert chosen([prefill("p0", 2), prefill("p1", 1), decode()], 1000) == ("p1", "d")


def test_decode_goes_by_load_and_a_cached_prefix_decides_among_equals() -> None:
    crowd = [prefill(), decode("d0", 1), decode("d1", 1, free=50), decode("d2", 2)]
    assert chosen(crowd, 100, d2=96) == ("p", "d0")
    assert chosen(crowd, 100, d1=64, d2=96) == ("p", "d1")


def test_what_a_doubted_worker_has_cached_does_not_draw() -> None:
    doubted = Candidate(make_info("p0", P, A), make_load(), doubted=True)
    assert chosen([doubted, prefill("p1", 5), decode()], 1000, p0=896) == ("p1", "d")


def test_round_robin_takes_each_in_turn() -> None:
    crowd = [prefill("p1"), prefill("p0"), decode("d0", 9), decode("d1"), decode("d2")]
    policy = policy_of("round_robin")
    placed = [placement_of(policy.place(crowd, Ask(20))) for _ in range(6)]
    pairs = [(p.prefill.worker_id, p.decode.worker_id) for p in placed if isinstance(p, Pair)]
    assert pairs == [
        ("p0", "d0"),
        ("p1", "d1"),
        ("p0", "d2"),
        ("p1", "d0"),
        ("p0", "d1"),
        ("p1", "d2"),
    ]


def test_least_load_does_not_look_at_what_is_cached() -> None:
    crowd = [prefill("p0", 1), prefill("p1"), decode("d0"), decode("d1", 1)]
    held = {"instance-of-p0": 896, "instance-of-d1": 896}
    placed = placement_of(policy_of("least_load").place(crowd, Ask(1000, held=held)))
    assert isinstance(placed, Pair)
    assert (placed.prefill.worker_id, placed.decode.worker_id) == ("p1", "d0")


def test_power_of_two_takes_the_less_loaded_of_two_and_so_never_the_worst() -> None:
    crowd = [prefill(), *(decode(f"d{i}", requests=i) for i in range(4))]
    policy = policy_of("power_of_two", random.Random(1))
    taken = Counter(
        placed.decode.worker_id
        for _ in range(600)
        if isinstance(placed := placement_of(policy.place(crowd, Ask(20))), Pair)
    )
    assert taken["d3"] == 0
    assert 250 < taken["d0"] < 350, "of the six couples of four it wins three"
    assert 150 < taken["d1"] < 250
    assert 60 < taken["d2"] < 140
