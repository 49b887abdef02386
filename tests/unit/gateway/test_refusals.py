"""A worker that refused is not asked again until something has changed."""

from gateway.refusals import Refusals


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
