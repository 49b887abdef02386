"""A step while the scheduler is deciding it."""

from dataclasses import dataclass, field

from baton.engine.sequence import Sequence


@dataclass(slots=True)
class Draft:
    budget: int  # tokens left
    picks: dict[Sequence, int] = field(default_factory=dict)  # tokens to compute, in order
    lacking: tuple[bool, int] | None = None  # level of the most urgent that lacks blocks

    @property
    def short(self) -> bool:
        """Of blocks, for somebody in the batch or the first that waits for it."""
        return self.lacking is not None

    def lacks(self, sequence: Sequence) -> None:
        level = sequence.level
        self.lacking = level if self.lacking is None else min(self.lacking, level)

    @property
    def admits(self) -> bool:
        """Nobody new comes in while somebody in the batch lacks blocks."""
        return self.budget > 0 and not self.short

    def leave_for_prompts(self, tokens: int) -> None:
        """No more than so many: whoever is in the step already waits for them."""
        self.budget = min(self.budget, tokens)

    def pick(self, sequence: Sequence, count: int) -> None:
        self.picks[sequence] = count
        self.budget -= count

    def drop(self, sequence: Sequence) -> None:
        self.budget += self.picks.pop(sequence, 0)
