"""Where a prefill worker may get the beginning of a prompt from, decided from readings alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from baton.core.worker_info import Role, WorkerState
from gateway.placement import Candidate
from gateway.prefix_source import Source, prefix_source
from tests.support.gateway_members import make_fingerprint, make_info, make_load

P, D = Role.PREFILL, Role.DECODE
A, B = make_fingerprint("a"), make_fingerprint("b")
NAMES = [b"1", b"2", b"3"]
PREFILL = make_info("p", P, A)


@dataclass
class FakeHolders:
    """Blocks by worker id."""

    blocks: dict[str, int]
    asked: list[Sequence[bytes]] = field(default_factory=list)

    def held(self, names: Sequence[bytes]) -> Mapping[str, int]:
        self.asked.append(names)
        return {f"instance-of-{worker_id}": count for worker_id, count in self.blocks.items()}


def worker(name: str, role: Role = D, requests: int = 0) -> Candidate:
    return Candidate(make_info(name, role, A), make_load(running=requests))


def found(blocks: dict[str, int], *candidates: Candidate) -> tuple[str, int] | None:
    holders = FakeHolders(blocks)
    source = prefix_source(NAMES, PREFILL, holders, candidates)
    assert holders.asked == [NAMES]
    return (source.worker.worker_id, source.num_tokens) if source else None


def test_whoever_has_most_of_it_lends_it() -> None:
    crowd = [worker("d0"), worker("d1"), worker("q", P)]
    assert found({"d0": 1, "d1": 3}, *crowd) == ("d1", 48)
    assert found({"d0": 1, "q": 2}, *crowd) == ("q", 32)
    assert prefix_source(NAMES, PREFILL, FakeHolders({"d0": 3}), crowd) == Source(crowd[0].info, 48)


def test_among_equals_the_one_with_least_to_do_lends_it() -> None:
    assert found({"d0": 2, "d1": 2}, worker("d0", requests=3), worker("d1")) == ("d1", 32)


def test_nobody_is_asked_for_what_the_prefill_worker_has_itself() -> None:
    crowd = [worker("d0"), worker("p", P)]
    assert found({"p": 2, "d0": 2}, *crowd) is None
    assert found({"p": 3, "d0": 2}, *crowd) is None
    assert found({"p": 1, "d0": 2}, *crowd) == ("d0", 32)


def test_who_has_nothing_or_is_gone_lends_nothing() -> None:
    assert found({}, worker("d0")) is None
    assert found({"d1": 3}, worker("d0")) is None


def test_who_takes_no_requests_or_does_not_fit_lends_nothing() -> None:
    for state, load in (
        ("out of touch", None),
        ("draining", make_load(state=WorkerState.DRAINING)),
    ):
        candidate = Candidate(make_info("d0", D, A), load)
        assert found({"d0": 3}, candidate) is None, state
    assert found({"d0": 3}, Candidate(make_info("d0", D, B), make_load())) is None
