"""How fast one worker reads prompts and writes answers, learned from what its steps took. Pure."""

from dataclasses import dataclass

from baton.core.step_totals import NO_TOTALS, StepSums, StepTotals, pairs_of
from gateway.placing.fit import Fit

# Of a worker of which nothing is known: seconds. Their proportions matter, hardly their level.
WRITING = (1e-2, 2e-4, 2e-7)  # per step, sequence in it, token of context
READING = (1e-2, 1e-4, 1e-8)  # per step, token, pair of tokens
CHUNK = 2048.0  # prompt tokens of a step
PAIRS = 1000.0  # tokens that a token of a prompt attends to
LEAST_SHARE = (
    0.1  # of a step with a piece of a prompt that is the prompt's, whatever else was in it
)


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds."""

    step: float  # of writing: per step
    sequence: float  # per sequence in it
    context: float  # per token that one of them attends to
    read_step: float  # of reading: per step, beside what it writes
    token: float  # per token of the prompt
    pair: float  # per token with each that it attends to
    chunk: float = CHUNK  # tokens, of a long prompt in one step
    pairs: float = PAIRS  # tokens that one of the prompts there attends to, on the average

    def writes(self, sequences: float, context: float) -> float:
        """One step, and so one token of each sequence; `context` of all of them together."""
        return self.step + self.sequence * sequences + self.context * context

    def reads(self, uncached: float, cached: float) -> float:
        """A prompt, of which so many tokens are computed and so many were there already."""
        steps = 1 + uncached / self.chunk
        pairs = pairs_of(uncached, cached)
        return steps * self.read_step + uncached * self.token + pairs * self.pair

    @property
    def per_token(self) -> float:
        """A token of a line of prompts of which no more is known."""
        return self.read_step / self.chunk + self.token + self.pair * self.pairs


UNKNOWN = Speed(*WRITING, *READING)


class SpeedModel:
    """Of one worker, which is taken to be like `kind` (all of its kind together) in what it has not
    shown; or of a kind.
    """

    def __init__(self, kind: "SpeedModel | None" = None) -> None:
        self._kind = kind
        self._writing = Fit(WRITING)
        self._reading = Fit(READING)
        self._chunk = 0.0
        self._pairs = 0.0
        self._heard = NO_TOTALS
        self._own: Speed | None = None

    def hear(self, totals: StepTotals) -> None:
        """What the worker tells of its steps; its kind learns of it too."""
        writing = totals.writing.minus(self._heard.writing)
        reading = totals.reading.minus(self._heard.reading)
        if writing.steps > 0 or reading.steps > 0:
            self._heard = totals
            if self._kind is not None:
                self._kind.learn(writing, reading)
            self.learn(writing, reading)

    def learn(self, writing: StepSums, reading: StepSums) -> None:
        kind = self._kind
        if kind is not None:
            self._writing.prior, self._reading.prior = kind._writing.shape, kind._reading.shape
        if writing.steps > 0:
            sizes = (writing.steps, writing.sequences, writing.context_tokens)
            self._writing.add(sizes, writing.seconds)
        if reading.steps > 0 and reading.read_tokens > 0:
            self._learn_reading(reading)
        self._own = None

    @property
    def speed(self) -> Speed:
        if self._own is None:
            kind = UNKNOWN if self._kind is None else self._kind.speed
            writes, reads = self._writing, self._reading
            step, sequence, context = writes.theta
            if not writes.samples:
                step, sequence, context = kind.step, kind.sequence, kind.context
            read_step, token, pair = reads.theta
            if not reads.samples:
                read_step, token, pair = kind.read_step, kind.token, kind.pair
            self._own = Speed(
                step,
                sequence,
                context,
                read_step,
                token,
                pair,
                self._chunk or kind.chunk,
                self._pairs or kind.pairs,
            )
        return self._own

    def _learn_reading(self, new: StepSums) -> None:
        _, sequence, context = self._writing.theta
        beside = sequence * new.sequences + context * new.context_tokens
        seconds = max(new.seconds - beside, LEAST_SHARE * new.seconds)
        self._reading.add((new.steps, new.read_tokens, new.read_pairs), seconds)
        chunk, pairs = new.read_tokens / new.steps, new.read_pairs / new.read_tokens
        self._chunk = max(chunk, 0.99 * self._chunk)  # prompts that end in a step make it smaller
        self._pairs += (0.1 if self._pairs else 1.0) * (pairs - self._pairs)
