"""What a worker's engine has computed since its process began, and what that took."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StepSums:
    """Over steps of one kind; each only grows. A step's time is a linear function of what is in it,
    so the time of several is the same function of these sums: whoever hears them now and then can
    learn it from differences, and loses nothing in between.
    """

    steps: int = 0
    seconds: float = 0.0
    sequences: int = 0  # that one token each was computed of, behind all the others
    context_tokens: int = 0  # that those attended to
    read_tokens: int = 0  # of prompts
    read_pairs: float = 0.0  # each of those with every token that it attended to

    def plus(self, other: "StepSums") -> "StepSums":
        return StepSums(
            self.steps + other.steps,
            self.seconds + other.seconds,
            self.sequences + other.sequences,
            self.context_tokens + other.context_tokens,
            self.read_tokens + other.read_tokens,
            self.read_pairs + other.read_pairs,
        )

    def minus(self, before: "StepSums") -> "StepSums":
        return StepSums(
            self.steps - before.steps,
            self.seconds - before.seconds,
            self.sequences - before.sequences,
            self.context_tokens - before.context_tokens,
            self.read_tokens - before.read_tokens,
            self.read_pairs - before.read_pairs,
        )


NO_STEPS = StepSums()


@dataclass(frozen=True, slots=True)
class StepTotals:
    writing: StepSums = field(default=NO_STEPS)  # of steps in which no prompt was read
    reading: StepSums = field(default=NO_STEPS)  # of those with a piece of one


NO_TOTALS = StepTotals()


def pairs_of(num_tokens: float, before: float) -> float:
    """That reading so many tokens behind `before` others computes, on the average."""
    return num_tokens * (before + num_tokens / 2)
