"""The steps of one modelled worker: what goes into the next, how long it takes, what comes out.

As the engine's scheduler does it: answers first, then as much of prompts as a step takes; what comes
meanwhile waits for the step to end. Steps that only write are alike but for the context that grows,
so many of them are one event, cut short at a step's end when somebody comes.
"""

import asyncio
import math
import random
from bisect import insort
from collections.abc import Callable

from baton.cluster.simulator.profile import Profile
from baton.cluster.simulator.work import Reading, Writing
from baton.core.step_totals import NO_STEPS, StepSums, StepTotals

LEAST_FACTOR = 0.2  # of a step's time, however lucky


class Engine:
    """`changed` is called after steps that requests joined or left, `progressed` after each piece of
    a prompt.
    """

    def __init__(
        self,
        profile: Profile,
        draw: random.Random,
        changed: Callable[[], None],
        progressed: Callable[[Reading], None],
    ) -> None:
        self._profile = profile
        self._draw = draw
        self._own = max(LEAST_FACTOR, draw.gauss(1, profile.worker_noise))
        self._changed = changed
        self._progressed = progressed
        self._loop = asyncio.get_running_loop()
        self.reading: list[Reading] = []  # by rank
        self.writing: list[Writing] = []
        self.waiting: list[Writing] = []  # by rank; for a place
        self._writes, self._reads = NO_STEPS, NO_STEPS
        self._timer: asyncio.TimerHandle | None = None
        self._alike: _Alike | None = None  # steps that only write, while they run

    @property
    def totals(self) -> StepTotals:
        return StepTotals(self._writes, self._reads)

    @property
    def unread(self) -> int:
        return sum(one.left for one in self.reading)

    def read(self, work: Reading) -> None:
        insort(self.reading, work, key=lambda one: one.rank)
        self._came()

    def write(self, work: Writing) -> None:
        insort(self.waiting, work, key=lambda one: one.rank)
        self._came()

    def _came(self) -> None:
        if self._timer is None:
            self._step()
        elif self._alike is not None and (
            self.reading or len(self.writing) < self._profile.max_num_seqs
        ):
            self._alike.cut(self._loop.time())
            self._timer.cancel()
            self._timer = self._loop.call_at(self._alike.end, self._written_alike)

    def _step(self) -> None:
        self._timer = None
        profile = self._profile
        while self.waiting and len(self.writing) < profile.max_num_seqs:
            self.writing.append(self.waiting.pop(0))
        if self.reading:
            self._read_step()
        elif self.writing:
            self._alike = _Alike(self.writing, profile, self._factor(), self._loop.time())
            self._timer = self._loop.call_at(self._alike.end, self._written_alike)

    def _read_step(self) -> None:
        profile, rows = self._profile, len(self.writing)
        room = profile.max_num_batched_tokens - rows
        if rows:
            room = min(room, profile.max_mixed_prompt_tokens)
        parts: list[tuple[Reading, int]] = []
        tokens, pairs = 0, 0.0
        for one in self.reading:
            part = min(one.left, max(1, room - tokens))
            parts.append((one, part))
            pairs += part * (one.at + part / 2)
            tokens += part
            if tokens >= room:
                break
        context = sum(one.context for one in self.writing)
        seconds = self._factor() * (
            profile.read_step
            + tokens * profile.read_token
            + pairs * profile.read_pair
            + rows * profile.write_sequence
            + context * profile.write_context
        )
        self._reads = self._reads.plus(StepSums(1, seconds, rows, context, tokens, pairs))
        self._timer = self._loop.call_later(seconds, self._read_done, parts)

    def _read_done(self, parts: list[tuple[Reading, int]]) -> None:
        for one, part in parts:
            one.at += part
            self._progressed(one)
            if not one.left:
                self.reading.remove(one)
                one.done.set_result(None)
        now = self._loop.time()
        for row in self.writing:
            row.gaps.add(now - row.last)
            row.last = now
            row.left -= 1
            row.context += 1
        self._leave()
        self._changed()
        self._step()

    def _written_alike(self) -> None:
        steps, self._alike = self._alike, None
        assert steps is not None
        self._writes = self._writes.plus(steps.sums)
        first, others = steps.begin + steps.seconds(1), steps.count - 1
        for row in self.writing:
            row.gaps.add(first - row.last)
            if others:
                row.gaps.add((steps.end - first) / others, others)
            row.last = steps.end
            row.left -= steps.count
            row.context += steps.count
        self._leave()
        self._changed()
        self._step()

    def _leave(self) -> None:
        for row in self.writing:
            if not row.left:
                row.done.set_result(None)
        self.writing = [row for row in self.writing if row.left]

    def _factor(self) -> float:
        noise = self._profile.step_noise
        return self._own * max(LEAST_FACTOR, self._draw.gauss(1, noise) if noise else 1.0)


class _Alike:
    """So many steps that write one token of each of the same answers."""

    def __init__(self, rows: list[Writing], profile: Profile, factor: float, begin: float) -> None:
        self.begin = begin
        self.count = min(row.left for row in rows)
        self._rows = len(rows)
        self._context = sum(row.context for row in rows)
        self._first = factor * profile.writes(self._rows, self._context)
        self._more = factor * profile.write_context * self._rows  # each takes so much longer

    def seconds(self, count: int) -> float:
        """Of the first so many."""
        return count * self._first + self._more * count * (count - 1) / 2

    @property
    def end(self) -> float:
        return self.begin + self.seconds(self.count)

    @property
    def sums(self) -> StepSums:
        n, rows = self.count, self._rows
        context = n * self._context + rows * n * (n - 1) // 2
        return StepSums(n, self.seconds(n), n * rows, context)

    def cut(self, now: float) -> None:
        """At the end of the step that runs now."""
        since, half = now - self.begin, self._more / 2
        first = self._first - half
        if half > 0:
            steps = (-first + math.sqrt(first * first + 4 * half * since)) / (2 * half)
        else:
            steps = since / first
        self.count = max(1, min(self.count, math.ceil(steps - 1e-9)))
