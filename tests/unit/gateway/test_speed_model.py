"""What a gateway learns of workers' speed from what they tell of their steps."""

import random
from dataclasses import replace

import pytest

from baton.core.step_totals import StepSums, StepTotals, pairs_of
from gateway.placing.learned import Learned
from gateway.placing.link_model import LinkModels
from gateway.placing.speed_model import UNKNOWN, Speed

TRUE = Speed(5e-3, 1e-4, 1e-7, 8e-3, 5e-5, 2e-9, chunk=1024.0)


class PacedWorker:
    """Whose steps take exactly what `speed` says; not a worker of any kind."""

    def __init__(self, speed: Speed, seed: int = 1) -> None:
        self.speed = speed
        self.totals = StepTotals()
        self._draw = random.Random(seed)

    def write(self, steps: int) -> None:
        batch = self._draw.randrange(1, 33)
        context = batch * self._draw.randrange(100, 4000)
        seconds = steps * self.speed.writes(batch, context)
        new = StepSums(steps, seconds, steps * batch, steps * context)
        self.totals = replace(self.totals, writing=self.totals.writing.plus(new))

    def read(self, tokens: int, batch: int = 0, context: int = 0) -> None:
        done = 0
        while done < tokens:
            count = min(int(self.speed.chunk), tokens - done)
            pairs = pairs_of(count, done)
            seconds = self.speed.read_step + count * self.speed.token + pairs * self.speed.pair
            seconds += batch * self.speed.sequence + context * self.speed.context
            new = StepSums(1, seconds, batch, context, count, pairs)
            self.totals = replace(self.totals, reading=self.totals.reading.plus(new))
            done += count


def test_writing_and_reading_are_learned_also_in_the_same_steps() -> None:
    learned, worker, draw = Learned(), PacedWorker(TRUE), random.Random(2)
    for _ in range(300):
        worker.write(draw.randrange(1, 20))
        learned.hear("d0", "k", worker.totals)
        worker.read(draw.randrange(100, 8000), batch=8, context=8000)
        learned.hear("d0", "k", worker.totals)
    speed = learned.speed("d0", "k")
    assert speed.writes(16, 30_000) == pytest.approx(TRUE.writes(16, 30_000), rel=0.02)
    for uncached, cached in ((200, 0), (2000, 0), (500, 6000), (8000, 0)):
        told = TRUE.reads(uncached, cached)
        assert speed.reads(uncached, cached) == pytest.approx(told, rel=0.15)
    assert speed.chunk == pytest.approx(1024, rel=0.1)


def test_a_worker_that_has_shown_nothing_is_like_the_others_of_its_kind() -> None:
    learned, worker = Learned(), PacedWorker(TRUE)
    assert learned.speed("d1", "k") == UNKNOWN
    for _ in range(100):
        worker.write(10)
        learned.hear("d0", "k", worker.totals)
    assert learned.speed("d1", "k").writes(8, 8000) == pytest.approx(TRUE.writes(8, 8000), rel=0.02)
    assert learned.speed("d1", "another kind") == UNKNOWN
    learned.drop("d0")
    assert learned.speed("d0", "k") == learned.speed("d1", "k")


def test_a_slow_worker_among_its_kind_is_known_for_it_after_its_first_steps() -> None:
    learned = Learned()
    workers = {f"d{i}": PacedWorker(TRUE, seed=i) for i in range(4)}
    slow = PacedWorker(replace(TRUE, step=4 * TRUE.step, sequence=4e-4, context=4e-7), seed=9)
    for _ in range(50):
        for name, worker in workers.items():
            worker.write(10)
            learned.hear(name, "k", worker.totals)
    for _ in range(3):
        slow.write(10)
        learned.hear("slow", "k", slow.totals)
    ratio = learned.speed("slow", "k").writes(8, 8000) / learned.speed("d0", "k").writes(8, 8000)
    assert ratio == pytest.approx(4, rel=0.1)


def test_equal_totals_told_again_teach_nothing() -> None:
    learned, worker = Learned(), PacedWorker(TRUE)
    worker.write(1)
    learned.hear("d0", "k", worker.totals)
    before = learned.speed("d0", "k")
    learned.hear("d0", "k", worker.totals)
    assert learned.speed("d0", "k") is before


def test_a_link_is_like_all_links_until_it_has_shown_itself() -> None:
    links = LinkModels()
    for number in range(60):
        links.add("p0", "d0", 1e6 * (number % 10 + 1), 1e-3 + 1e-9 * 1e6 * (number % 10 + 1))

    def exposed(prefill: str, decode: str) -> float:
        return (links.between(prefill, decode) or links.any).exposed(5e6)

    assert links.between("p1", "d1") is None
    assert exposed("p1", "d1") == pytest.approx(6e-3, rel=0.05)
    for number in range(60):
        links.add("p0", "slow", 1e6 * (number % 10 + 1), 1e-3 + 1e-8 * 1e6 * (number % 10 + 1))
    assert exposed("p0", "slow") == pytest.approx(51e-3, rel=0.1)
    assert exposed("p0", "d0") == pytest.approx(6e-3, rel=0.05)
    links.drop("slow")
    assert links.between("p0", "slow") is None
