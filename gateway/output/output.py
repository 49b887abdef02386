"""The choices of one prompt: token records in, deltas out."""

from collections.abc import Sequence

from baton.core.sampling_params import SamplingParams
from baton.core.token_record import TokenRecord
from gateway.output.choice import Choice
from gateway.output.delta import Delta
from gateway.output.plan import OutputPlan
from gateway.prompts.vocabulary import Vocabulary


class Output:
    """A stream and a whole answer are the same function of the tokens."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        prompt: Sequence[int],
        params: SamplingParams,
        plan: OutputPlan,
    ) -> None:
        self._choices = [Choice(i, vocabulary, prompt, params, plan) for i in range(params.n)]
        self._open = params.n  # choices that have not ended

    @property
    def ended(self) -> bool:
        """Nothing that still comes can change the answer."""
        return not self._open

    def has_ended(self, choice: int) -> bool:
        return self._choices[choice].ended

    def push(self, records: Sequence[TokenRecord]) -> list[Delta]:
        """One delta per choice that has records, in order of their first appearance. Tokens of a
        choice that has ended are passed over.
        """
        if len(self._choices) == 1:
            return self._told(self._choices[0], records)
        by_choice: dict[int, list[TokenRecord]] = {}
        for record in records:
            by_choice.setdefault(record.choice, []).append(record)
        told = [self._told(self._choices[i], group) for i, group in by_choice.items()]
        return [delta for deltas in told for delta in deltas]

    def _told(self, choice: Choice, records: Sequence[TokenRecord]) -> list[Delta]:
        if choice.ended or not records:
            return []
        delta = choice.push(records)
        self._open -= choice.ended
        return [delta]
