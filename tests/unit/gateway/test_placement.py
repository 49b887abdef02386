"""Where a request goes by predicted cost, decided from readings alone."""

import math
import random
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from baton.core.room import Room
from baton.core.worker_info import Role, WorkerState
from gateway.placing.candidate import Candidate
from gateway.placing.fleet import Columns
from gateway.placing.link_model import Link
from gateway.placing.objectives import Objectives
from gateway.placing.placement import Alone, Decision, Pair, Reason, place, refuge
from gateway.placing.scoring import (
    Ask,
    Terms,
    alone_scores,
    reading_scores,
    terms_of,
    transfer_scores,
    writing_scores,
)
from gateway.placing.speed_model import Speed
from tests.support.gateway_members import make_fingerprint, make_info, make_load

P, D = Role.PREFILL, Role.DECODE
A, B = make_fingerprint("a"), make_fingerprint("b")
# Writes in 10 ms, 1 ms for each sequence and 1 us for each token of context; reads in 0.1 ms a token.
SPEED = Speed(0.01, 0.001, 1e-6, 0.0, 1e-4, 0.0, chunk=1e9, pairs=0.0)
NO_LINK = Link(0.0, 0.0)
ASK = Ask(1000, answer=100.0, link=NO_LINK)


def prefill(name: str = "p", unread: int = 0, **kw: object) -> Candidate:
    speed = kw.pop("speed", SPEED)
    return Candidate(make_info(name, P, A), make_load(), unread=unread, speed=speed, **kw)  # type: ignore[arg-type]


def decode(name: str = "d", requests: int = 0, free: int = 100, **kw: object) -> Candidate:
    speed = kw.pop("speed", SPEED)
    load = make_load(running=requests, free=free)
    return Candidate(make_info(name, D, A), load, speed=speed, **kw)  # type: ignore[arg-type]


def where(decision: Decision | None) -> tuple[str, ...] | None:
    if decision is None:
        return None
    match decision.placement:
        case Pair(first, second):
            return first.worker_id, second.worker_id
        case Alone(only):
            return (only.worker_id,)


def held(**tokens: int) -> dict[str, int]:
    return {f"instance-of-{name}": count for name, count in tokens.items()}


def test_terms_of_a_pair_and_of_a_decode_worker_alone() -> None:
    link = Link(0.002, 1e-6)
    ask = replace(ASK, held=held(p=200, d=500), relayed=0.005, alone=0.003, choices=2)
    reader, writer = prefill(unread=300), decode(requests=4, free=40, unread=100)
    # 60 blocks of 16 are used: 960 tokens of context. A token of this layout has 256 bytes.
    step = 0.01 + 0.004 + 0.00096
    more = 0.002 + 0.001  # two sequences, and a thousand tokens of context
    pair = terms_of(ask, reader, writer, link)
    assert (pair.wait, pair.read, pair.calls) == pytest.approx((0.03, 0.08, 0.005))
    assert pair.transfer == pytest.approx(0.002 + 500 * 256e-6)
    assert pair.itl == pytest.approx(step + more)
    assert (pair.seat, pair.answer) == (0.0, 100.0)
    assert pair.others == pytest.approx(100 * 4 * more)
    assert pair.ttft == pytest.approx(0.115)
    assert pair.total == pytest.approx(0.115 + pair.transfer + 100 * (step + more) + pair.others)
    alone = terms_of(ask, None, writer)
    assert (alone.wait, alone.calls, alone.transfer) == pytest.approx((0.01, 0.003, 0.0))
    assert alone.read == pytest.approx(0.05 + step - 0.01)
    assert alone.others == pytest.approx(100 * 4 * more + 4 * 0.05)


def test_an_idle_decode_worker_alone_saves_the_hand_off() -> None:
    ask = replace(ASK, link=Link(0.01, 0.0))
    placed = place([prefill(), decode()], ask)
    assert where(placed) == ("d",)
    assert placed is not None
    assert placed.reason == Reason.LOCAL
    assert [where(Decision((o,), "")) for o in placed.options] == [("d",), ("p", "d")]


def test_a_long_prompt_is_read_elsewhere_than_where_many_write() -> None:
    crowd = [prefill(), decode(requests=8)]
    ask = replace(ASK, link=Link(0.02, 0.0))
    assert where(place(crowd, ask)) == ("p", "d"), "alone would delay eight by 0.1 s"
    short = replace(ask, tokens=5)
    assert where(place(crowd, short)) == ("d",), "by 0.5 ms each: less than the hand-off takes"
    cached = replace(ask, held=held(d=992))
    assert where(place(crowd, cached)) == ("d",), "likewise where all but the end is cached"


def test_a_line_of_prompts_sends_the_next_one_to_a_decode_worker() -> None:
    ask = replace(ASK, link=Link(0.01, 0.0))
    for unread, expected in ((0, ("p", "d")), (5000, ("p", "d")), (9000, ("d",))):
        assert where(place([prefill(unread=unread), decode(requests=8)], ask)) == expected


def test_a_hot_prefix_draws_only_while_its_line_is_shorter_than_computing_it() -> None:
    ask = replace(ASK, held=held(p1=768))
    for line, expected in ((700, "p1"), (767, "p1"), (769, "p0"), (5000, "p0")):
        found = place([prefill("p0"), prefill("p1", line), decode(requests=50)], ask)
        assert where(found) == (expected, "d")
        assert found is not None
        assert found.reason == (Reason.PREFIX if expected == "p1" else Reason.LEAST_COST)


def test_a_slow_worker_gets_less() -> None:
    slow = replace(SPEED, step=0.02, token=2e-4)
    crowd = [prefill("p0", speed=slow), prefill("p1", 900), decode("d0", 40, speed=slow)]
    assert where(place([*crowd, decode("d1", 42)], ASK)) == ("p1", "d1")
    assert where(place([*crowd, decode("d1", 60)], ASK)) == ("p1", "d0")


def test_objectives_come_before_total_time() -> None:
    ask = replace(ASK, answer=10.0, link=Link(0.05, 0.0))
    crowd = [prefill(), decode("d0"), decode("d1", 4, speed=replace(SPEED, step=0.001))]
    assert where(place(crowd, ask)) == ("d0",)
    hasty = replace(ask, objectives=Objectives(itl=0.01))
    assert where(place(crowd, hasty)) == ("p", "d1")
    impossible = place(crowd, replace(ask, objectives=Objectives(ttft=0.05)))
    assert impossible is not None
    assert impossible.reason == Reason.MISSED
    slow = prefill("p", unread=500)
    soon = place([slow, decode("d0", 2)], replace(ASK, objectives=Objectives(ttft=0.12)))
    assert where(soon) == ("d0",), "the prefill worker's line is too long"


def test_without_a_living_prefill_worker_decode_works_alone() -> None:
    draining = Candidate(make_info("p", P, A), make_load(state=WorkerState.DRAINING))
    for crowd in ([decode(requests=50)], [draining, decode(requests=50)]):
        placed = place(crowd, ASK)
        assert placed is not None
        assert (where(placed), placed.reason) == (("d",), Reason.NO_PREFILL)


def test_a_prefill_worker_that_is_out_of_touch_or_refused_is_waited_for() -> None:
    assert place([Candidate(make_info("p", P, A), None), decode()], ASK) is None
    refused = prefill(refused=True)
    assert place([refused, decode()], ASK) is None
    assert where(place([refused, prefill("q"), decode(requests=50)], ASK)) == ("q", "d")


def test_who_may_not_be_alone_waits_for_a_prefill_worker() -> None:
    ask = replace(ASK, may_be_alone=False, particular=True)
    assert place([decode()], ask) is None
    placed = place([prefill(), decode()], replace(ask, link=Link(9.0, 0.0)))
    assert placed is not None
    assert (where(placed), placed.reason) == (("p", "d"), Reason.WISHED)
    assert len(placed.options) == 1


def test_without_room_nothing_fits() -> None:
    assert place([], ASK) is None
    assert place([prefill()], ASK) is None
    assert place([prefill(), Candidate(make_info("d", D, A), None)], ASK) is None
    assert place([prefill(), decode(free=63)], ASK) is None  # 62.5 blocks, and one to write in
    assert place([prefill(), decode(free=64)], ASK) is not None
    assert place([prefill(), decode(free=64)], replace(ASK, choices=2)) is None


def test_what_fills_the_whole_pool_is_placed_where_nothing_else_is() -> None:
    whole = replace(ASK, tokens=1600)
    assert place([prefill(), decode(free=99)], whole) is None
    assert place([prefill(), decode(free=100)], whole) is not None


def test_a_worker_whose_seats_are_taken_is_left_out_but_for_the_more_urgent() -> None:
    room = Room(free_blocks=100, seats=4, seated=((0, 3), (5, 1)))
    full = decode(room=room)
    assert place([prefill(), full], replace(ASK, priority=5)) is None
    assert place([prefill(), full], ASK) is not None
    assert place([prefill(), full], replace(ASK, choices=2)) is None


def test_while_somebody_lacks_blocks_there_nobody_else_is_placed() -> None:
    assert place([prefill(), decode(room=Room(free_blocks=100, lacks=0))], ASK) is None


def test_unequal_fingerprints_are_never_paired() -> None:
    other = Candidate(make_info("d0", D, B), make_load())
    assert place([prefill(), other], ASK) is None
    assert where(place([prefill(), other, decode("d1", 50)], ASK)) == ("p", "d1")


def test_a_doubted_worker_is_the_last_resort() -> None:
    doubted = prefill("p0", doubted=True)
    assert where(place([doubted, prefill("p1", 9000), decode(requests=50)], ASK)) == ("p1", "d")
    crowd = [prefill("p"), decode("d0", doubted=True)]
    last = place(crowd, ASK)
    assert last is not None
    assert last.reason == Reason.DOUBTED
    assert where(place([*crowd, decode("d1", 90)], ASK)) == ("p", "d1")


def test_doubted_links_leave_the_best_of_the_others() -> None:
    readers = [prefill(f"p{i}", 10 * i) for i in range(8)]
    writers = [decode(f"d{i}", 50 + i) for i in range(8)]
    links = {(f"instance-of-p{i}", "instance-of-d0") for i in range(8)}
    ask = replace(ASK, doubted_links=frozenset(links))
    assert where(place([*readers, *writers], ask)) == ("p0", "d1")
    everywhere = {(p.instance_id, d.instance_id) for p in readers[:1] for d in writers[:1]}
    last = place(
        [readers[0], writers[0]],
        replace(ASK, doubted_links=frozenset(everywhere)),
    )
    assert where(last) == ("d0",), "alone no link is needed"


@pytest.mark.parametrize("slo", [Objectives(), Objectives(0.08, 0.03)])
def test_what_is_chosen_is_the_best_of_all_pairs(slo: Objectives) -> None:
    draw = random.Random(1)
    for _ in range(100):
        crowd, ask = drawn(draw, slo)
        chosen = place(crowd, ask)
        best = min(term.score for term in everything(crowd, ask))
        assert chosen is not None
        assert chosen.options[0].terms.score == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("num_doubted", [1, 3, 10, 25])
def test_whichever_links_are_doubted_the_best_of_the_other_pairs_is_found(num_doubted: int) -> None:
    """Also where just the best ones are."""
    draw = random.Random(num_doubted)
    for number in range(50):
        crowd, ask = drawn(draw, Objectives())
        readers, writers = ([c for c in crowd if c.prefills is reads] for reads in (True, False))
        pairs = [(p, d) for p in readers for d in writers]
        pairs.sort(key=lambda pair: terms_of(ask, *pair).score)
        doubted = pairs[:num_doubted] if number % 2 else draw.sample(pairs, num_doubted)
        links = frozenset((p.instance_id, d.instance_id) for p, d in doubted)
        ask = replace(ask, doubted_links=links, may_be_alone=False)
        chosen = place(crowd, ask)
        assert chosen is not None
        best = min(terms_of(ask, *pair).score for pair in pairs)
        assert chosen.options[0].terms.score == pytest.approx(best, abs=1e-5)


def test_with_links_that_differ_it_costs_at_most_what_they_differ_by() -> None:
    draw = random.Random(2)
    for _ in range(100):
        crowd, ask = drawn(draw, Objectives())
        ids = [c.instance_id for c in crowd]
        links = {(p, d): Link(draw.uniform(0, 0.02), 0.0) for p in ids for d in ids}
        chosen = place(crowd, ask, partial(between, links))
        assert chosen is not None
        best = min(
            terms_of(ask, p, d, links[p.instance_id, d.instance_id]).score
            for p in crowd
            if p.prefills
            for d in crowd
            if not d.prefills
        )
        assert chosen.options[0].terms.score <= best + 0.02


def test_many_scores_at_once_are_the_sums_of_the_terms() -> None:
    draw = random.Random(3)
    for slo in (Objectives(), Objectives(0.1, 0.05)):
        crowd, ask = drawn(draw, slo)
        readers = Columns(c for c in crowd if c.prefills)
        writers = Columns(c for c in crowd if not c.prefills)
        reading = reading_scores(ask, readers, readers.held(ask.held))
        writing, cached = writing_scores(ask, writers), writers.held(ask.held)
        moving = transfer_scores(ask, writers, cached) + np.zeros(len(writers))
        alone = alone_scores(ask, writers, cached)
        for i, writer in enumerate(writers.candidates):
            assert math.isclose(
                terms_of(ask, None, writer).score,
                writing[i] + alone[i] + ask.alone,
                abs_tol=1e-4,
            )
            for j, reader in enumerate(readers.candidates):
                assert math.isclose(
                    terms_of(ask, reader, writer).score,
                    writing[i] + moving[i] + reading[j] + ask.relayed + ask.link.latency,
                    abs_tol=1e-4,
                )


def between(links: dict[tuple[str, str], Link], prefill_id: str, decode_id: str) -> Link:
    return links[prefill_id, decode_id]


def drawn(draw: random.Random, slo: Objectives) -> tuple[list[Candidate], Ask]:
    """A crowd of all speeds, some of which hold something, and a request."""

    def speed() -> Speed:
        step, sequence, context, read_step, token, pair = (
            part * draw.uniform(0.5, 2) for part in (0.01, 0.001, 1e-6, 0.005, 1e-4, 1e-9)
        )
        return Speed(step, sequence, context, read_step, token, pair, 512.0, 300.0)

    crowd = [prefill(f"p{i}", draw.randrange(3000), speed=speed()) for i in range(8)]
    for i in range(8):
        load = make_load(draw.randrange(20), draw.choice([0, 0, 3]), 72 + draw.randrange(28))
        crowd.append(
            Candidate(
                make_info(f"d{i}", D, A),
                load,
                unread=draw.choice([0, 0, 500]),
                speed=speed(),
            )
        )
    cached = {c.instance_id: draw.randrange(8) * 128 for c in crowd if draw.random() < 0.5}
    ask = Ask(
        tokens=1100,
        answer=draw.uniform(1, 300),
        choices=draw.choice([1, 1, 3]),
        held=cached,
        objectives=slo,
        link=Link(0.003, 1e-7),
        relayed=0.004,
        alone=0.002,
    )
    return crowd, ask


def everything(crowd: list[Candidate], ask: Ask) -> list[Terms]:
    writers = [c for c in crowd if not c.prefills]
    readers = [c for c in crowd if c.prefills]
    pairs = [terms_of(ask, reader, writer) for reader in readers for writer in writers]
    return pairs + [terms_of(ask, None, writer) for writer in writers]


def test_a_running_answer_goes_to_the_least_loaded_decode_worker_that_can_have_its_kv() -> None:
    source = make_info("d0", D, A)
    draining = Candidate(source, make_load(state=WorkerState.DRAINING))
    other = Candidate(make_info("d1", D, B), make_load())
    full, busy, doubted = decode("d2", free=2), decode("d3", 5), decode("d4", 1)
    crowd = [prefill(), draining, other, full]
    assert refuge(crowd, draining, 32) is None
    assert refuge([*crowd, busy], draining, 32) == busy.info
    assert refuge([*crowd, busy, doubted], draining, 32) == doubted.info
    doubted = Candidate(doubted.info, doubted.load, doubted=True)
    assert refuge([*crowd, busy, doubted], draining, 32) == busy.info
