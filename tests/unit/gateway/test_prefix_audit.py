"""Predictions are judged once every event before the admission was heard."""

from baton.core.kv_events import KvChange
from gateway.prefixes.prefix_audit import Drift, Expectation, PrefixAudit
from gateway.prefixes.prefix_index import PrefixIndex

KEYS = [10, 20, 30, 40]
S = 128


class Book:
    """Of worker "a", which has told that it holds the first two strides, as event 5."""

    def __init__(self) -> None:
        self.index = PrefixIndex()
        self.told: list[tuple[str, Drift]] = []
        self.audit = PrefixAudit(
            self.index, lambda worker, drift: self.told.append((worker, drift))
        )
        self.hear(KvChange(0, 5, snapshot=True, stored=(10, 20)))

    def hear(self, change: KvChange) -> None:
        self.index.hear("a", change)
        self.audit.heard("a")

    def admitted(self, strides: int, cached: int, number: int = 5, worker: str = "a") -> None:
        self.audit.admitted(Expectation(worker, KEYS, S, strides), cached, number)

    @property
    def drifts(self) -> list[Drift]:
        return [drift for _, drift in self.told]


def test_what_lies_within_the_last_stride_is_right() -> None:
    book = Book()
    for cached in (2 * S, 2 * S + 16, 3 * S - 1, 2 * S - 1):
        book.admitted(2, cached)
    assert book.drifts == []
    assert book.audit.predicted_tokens == 4 * 2 * S
    assert book.audit.cached_tokens == 9 * S + 14


def test_a_stride_less_or_more_than_believed_is_drift() -> None:
    book = Book()
    book.admitted(2, S)
    book.admitted(2, 3 * S)
    assert book.told == [("a", Drift.LESS), ("a", Drift.MORE)]
    assert book.audit.drifts == {Drift.LESS: 1, Drift.MORE: 1}


def test_events_on_their_way_are_waited_for_and_explain() -> None:
    book = Book()
    book.admitted(2, 0, number=7)
    book.admitted(2, 2 * S, number=8)
    assert book.drifts == []
    book.hear(KvChange(5, 6, removed=(20,)))
    assert book.drifts == [], "event 7 is still on its way"
    book.hear(KvChange(6, 7, removed=(10,)))
    assert book.drifts == []
    book.hear(KvChange(7, 9, stored=(10, 20)))
    assert book.drifts == []


def test_events_that_do_not_explain_it_are_no_excuse() -> None:
    book = Book()
    book.admitted(2, 0, number=6)
    book.admitted(2, 4 * S, number=6)
    assert book.drifts == []
    book.hear(KvChange(5, 6, stored=(99,)))
    assert book.drifts == [Drift.LESS, Drift.MORE]
    book.hear(KvChange(6, 7, stored=(98,)))
    assert len(book.drifts) == 2, "each is judged once"


def test_what_the_request_itself_stored_does_not_hide_that_its_beginning_was_unknown() -> None:
    """The index lacks the first stride, the worker has both and stores the third."""
    book = Book()
    book.hear(KvChange(5, 6, removed=(10,)))
    book.admitted(0, 2 * S, number=6)
    assert book.drifts == [Drift.MORE]
    book.hear(KvChange(6, 7, stored=(30,)))
    book.admitted(0, 2 * S, number=6)
    assert book.drifts == [Drift.MORE] * 2


def test_what_was_stored_between_placement_and_admission_is_explained() -> None:
    book = Book()
    book.hear(KvChange(5, 7, stored=(30, 40)))
    book.admitted(2, 4 * S, number=7)
    assert book.drifts == []


def test_without_exact_knowledge_nobody_is_judged() -> None:
    book = Book()
    book.admitted(2, 0, worker="stranger")
    book.hear(KvChange(6, 7, stored=(30,)))  # a gap
    book.admitted(2, 0)
    assert book.drifts == []
    book.admitted(2, 0, number=20)
    book.hear(KvChange(0, 30, snapshot=True))
    assert book.drifts == []


def test_what_waits_for_a_worker_that_left_is_forgotten() -> None:
    book = Book()
    book.admitted(2, 0, number=6)
    book.audit.drop("a")
    book.hear(KvChange(5, 6, stored=(99,)))
    assert book.drifts == []
