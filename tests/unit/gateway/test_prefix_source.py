"""Where a prefill worker may get the beginning of a prompt from, decided from readings alone."""

from baton.core.worker_info import Role, WorkerState
from gateway.placing.candidate import Candidate
from gateway.prefixes.prefix_source import Holder, Source, prefix_source
from tests.support.gateway_members import make_fingerprint, make_info, make_load

P, D = Role.PREFILL, Role.DECODE
A, B = make_fingerprint("a"), make_fingerprint("b")
PREFILL = make_info("p", P, A)


def worker(name: str, role: Role = D, requests: int = 0) -> Candidate:
    return Candidate(make_info(name, role, A), make_load(running=requests))


def found(*holders: Holder) -> tuple[str, int] | None:
    source = prefix_source(PREFILL, holders, 1000)
    return (source.worker.worker_id, source.num_tokens) if source else None


def test_whoever_has_most_of_it_lends_it_whatever_its_role() -> None:
    few, most = Holder(worker("d0"), 128), Holder(worker("d1"), 384)
    assert found(few, most) == found(most, few) == ("d1", 512)
    assert found(few, Holder(worker("q", P), 256)) == ("q", 384)


def test_it_is_asked_for_what_it_may_have_beyond_what_it_told_but_not_for_the_last_token() -> None:
    holder = Holder(worker("d0"), 128)
    for tokens, asked in ((1000, 256), (257, 256), (256, 240), (130, 128)):
        assert prefix_source(PREFILL, [holder], tokens) == Source(holder.candidate.info, asked)


def test_among_equals_the_one_with_least_to_do_lends_it() -> None:
    busy, idle = Holder(worker("d0", requests=3), 128), Holder(worker("d1"), 128)
    assert found(busy, idle) == ("d1", 256)
    assert found(Holder(worker("d2"), 128), idle) == ("d1", 256)


def test_nobody_is_asked_for_what_the_prefill_worker_has_itself() -> None:
    holder = Holder(worker("d0"), 256)
    for own, source in ((384, None), (256, None), (128, ("d0", 384))):
        assert found(Holder(worker("p", P), own), holder) == source


def test_where_nobody_has_it_nobody_is_asked() -> None:
    assert found() is None
    assert found(Holder(worker("d0"), 0)) is None


def test_who_takes_no_requests_or_does_not_fit_lends_nothing() -> None:
    draining = Candidate(make_info("d0", D, A), make_load(state=WorkerState.DRAINING))
    out_of_touch = Candidate(make_info("d0", D, A), None)
    another_model = Candidate(make_info("d0", D, B), make_load())
    for candidate in (draining, out_of_touch, another_model):
        assert found(Holder(candidate, 384)) is None
        assert found(Holder(candidate, 384), Holder(worker("d1"), 128)) == ("d1", 256)
