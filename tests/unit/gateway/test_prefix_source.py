"""Where a prefill worker may get the beginning of a prompt from, decided from readings alone."""

from baton.core.worker_info import Role, WorkerState
from gateway.candidate import Candidate
from gateway.prefix_source import Holder, Source, prefix_source
from tests.support.gateway_members import make_fingerprint, make_info, make_load

P, D = Role.PREFILL, Role.DECODE
A, B = make_fingerprint("a"), make_fingerprint("b")
PREFILL = make_info("p", P, A)


def worker(name: str, role: Role = D, requests: int = 0) -> Candidate:
    return Candidate(make_info(name, role, A), make_load(running=requests))


def found(*holders: Holder) -> tuple[str, int] | None:
    source = prefix_source(PREFILL, holders)
    return (source.worker.worker_id, source.num_tokens) if source else None


def test_whoever_has_most_of_it_lends_it_whatever_its_role() -> None:
    few, most = Holder(worker("d0"), 16), Holder(worker("d1"), 48)
    assert found(few, most) == found(most, few) == ("d1", 48)
    assert found(few, Holder(worker("q", P), 32)) == ("q", 32)
    assert prefix_source(PREFILL, [most]) == Source(most.candidate.info, 48)


def test_among_equals_the_one_with_least_to_do_lends_it() -> None:
    busy, idle = Holder(worker("d0", requests=3), 32), Holder(worker("d1"), 32)
    assert found(busy, idle) == ("d1", 32)
    assert found(Holder(worker("d2"), 32), idle) == ("d1", 32)


def test_nobody_is_asked_for_what_the_prefill_worker_has_itself() -> None:
    holder = Holder(worker("d0"), 32)
    for own, source in ((48, None), (32, None), (16, ("d0", 32))):
        assert found(Holder(worker("p", P), own), holder) == source


def test_where_nobody_has_it_nobody_is_asked() -> None:
    assert found() is None
    assert found(Holder(worker("d0"), 0)) is None


def test_who_takes_no_requests_or_does_not_fit_lends_nothing() -> None:
    draining = Candidate(make_info("d0", D, A), make_load(state=WorkerState.DRAINING))
    out_of_touch = Candidate(make_info("d0", D, A), None)
    another_model = Candidate(make_info("d0", D, B), make_load())
    for candidate in (draining, out_of_touch, another_model):
        assert found(Holder(candidate, 48)) is None
        assert found(Holder(candidate, 48), Holder(worker("d1"), 16)) == ("d1", 16)
