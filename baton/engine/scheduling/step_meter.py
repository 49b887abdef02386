"""What the steps of one engine had in them, and how long they took. Used by the engine's thread; the
totals are read from any.
"""

from baton.core.step_totals import NO_TOTALS, StepSums, StepTotals, pairs_of
from baton.engine.plan import StepPlan
from baton.telemetry.distribution import Observations
from baton.telemetry.family import STEP_TOKENS


class StepMeter:
    def __init__(self) -> None:
        self.totals: StepTotals = NO_TOTALS  # replaced as a whole, so that readers see one moment
        self.step_tokens = Observations(STEP_TOKENS)

    def note(self, plan: StepPlan, seconds: float) -> None:
        """A step with something in it, decision and drawing included."""
        sequences = context = read = 0
        pairs = 0.0
        for piece in plan.slices:
            count = len(piece.tokens)
            if count == 1:
                sequences += 1
                context += piece.start + 1
            else:
                read += count
                pairs += pairs_of(count, piece.start)
        self.step_tokens.see(sequences + read)
        step = StepSums(1, seconds, sequences, context, read, pairs)
        if read:
            self.totals = StepTotals(self.totals.writing, self.totals.reading.plus(step))
        else:
            self.totals = StepTotals(self.totals.writing.plus(step), self.totals.reading)
