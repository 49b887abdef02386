"""A worker that refused is not asked again until something has changed."""

import time

import pytest

from gateway.placing.refusals import DOUBTED_FOR, FORGOTTEN_AFTER, Refusals


class FakeWorker:
    revision = 0


def test_a_refusal_holds_until_the_worker_changes() -> None:
    refusals, worker = Refusals(), FakeWorker()
    assert not refusals.holds(worker)
    refusals.note(worker)
    assert refusals.holds(worker)
    assert not refusals.holds(FakeWorker())
    worker.revision = 1
    assert not refusals.holds(worker)


def test_a_doubt_outlives_the_refusal_but_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    refusals, worker = Refusals(), FakeWorker()
    refusals.note(worker)
    now += FORGOTTEN_AFTER
    assert not refusals.holds(worker)
    assert refusals.doubts(worker)
    worker.revision = 1
    assert not refusals.doubts(worker)
    refusals.note(worker)
    now += DOUBTED_FOR
    assert not refusals.doubts(worker)


def test_a_link_is_doubted_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    refusals = Refusals()
    refusals.note_link(("p0", "d0"))
    assert refusals.doubted_links == {("p0", "d0")}
    now += DOUBTED_FOR
    assert not refusals.doubted_links
