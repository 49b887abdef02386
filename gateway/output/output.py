"""The choices of one prompt: token records in, deltas out."""

from collections.abc import Iterable, Sequence

from baton.core.sampling_params import SamplingParams
from baton.core.token_record import TokenRecord
from gateway.output.choice import Choice
from gateway.output.delta import Delta
from gateway.output.plan import OutputPlan
from gateway.vocabulary import Vocabulary


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

    @property
    def ended(self) -> bool:
        """Nothing that still comes can change the answer."""
        return all(choice.ended for choice in self._choices)

    def has_ended(self, choice: int) -> bool:
        return self._choices[choice].ended

    def push(self, records: Iterable[TokenRecord]) -> list[Delta]:
        """One delta per choice that has records, in order of their first appearance. Tokens of a
        choice that has ended are passed over.
        """
        if len(self._choices) == 1:
            choice, group = self._choices[0], list(records)
            return [choice.push(group)] if group and not choice.ended else []
        by_choice: dict[int, list[TokenRecord]] = {}
        for record in records:
            by_choice.setdefault(record.choice, []).append(record)
        open = [(self._choices[i], group) for i, group in by_choice.items()]
        return [choice.push(group) for choice, group in open if not choice.ended]
