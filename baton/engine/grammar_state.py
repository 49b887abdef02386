"""Where one choice stands in its grammar: a function of the answer's tokens and nothing else.

Whoever has the tokens can build it: after a hand-off, a preemption or a failover it is replayed.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from baton.core.errors import BatonError, InternalError, RequestError
from baton.core.sampling_params import Grammar, SamplingParams
from baton.grammars.backend import Matcher


@dataclass(frozen=True, slots=True)
class Endings:
    """Token ids that end an answer, and those that the grammars' library takes for such by itself."""

    eos: frozenset[int]
    foreign: frozenset[int]


class GrammarState:
    def __init__(self, grammar: Grammar, matcher: Matcher, endings: Endings) -> None:
        """`matcher`: a new one."""
        self._grammar = grammar
        self._matcher = matcher
        self._endings = endings
        self._seen: list[int] = []  # of the answer
        self._bound = not grammar.after
        self._fault: BatonError | None = None

    def fits(self, grammar: Grammar, answer: Sequence[int]) -> bool:
        """Whether `answer` goes on from what was seen."""
        seen = len(self._seen)
        return grammar == self._grammar and list(answer[:seen]) == self._seen

    def advance(self, answer: Sequence[int]) -> None:
        """Takes in what is new in `answer`, which begins with what was seen."""
        for token_id in answer[len(self._seen) :]:
            self._seen.append(token_id)
            if self._bound:
                self._take(token_id)
            else:
                after = self._grammar.after
                self._bound = tuple(self._seen[-len(after) :]) == after

    def allowed(self, params: SamplingParams, vocab_size: int) -> bytearray | BatonError | None:
        """One byte per token id, 0 where it must not be drawn; None: anything may come.

        An error when the grammar leaves nothing.
        """
        if self._fault is not None:
            return self._fault
        if not self._bound:
            return None
        if self._matcher.over:
            return self._ended(params, vocab_size)
        try:
            mask = self._matcher.allowed(vocab_size)
        except RequestError as error:
            return error
        if self._matcher.complete:
            _set(mask, self._endings.foreign, 0)
            _set(mask, params.stop_token_ids, 1)
        else:  # a forced piece of text may be spelled like one
            _set(mask, self._endings.eos | self._endings.foreign, 0)
        if mask.count(0) == len(mask):
            return RequestError("the grammar leaves no token that could come next")
        return mask

    def _take(self, token_id: int) -> None:
        if self._fault is not None or self._matcher.over:  # behind its end all is free
            return
        if not self._matcher.take(token_id):
            self._fault = InternalError("an answer left its grammar")

    def _ended(self, params: SamplingParams, vocab_size: int) -> bytearray | None:
        """Nothing may follow but the end, unless nothing can end the answer."""
        if params.ignore_eos or not self._endings.eos:
            return None
        mask = bytearray(vocab_size)
        _set(mask, self._endings.eos, 1)
        _set(mask, params.stop_token_ids, 1)
        return mask


def _set(mask: bytearray, token_ids: Collection[int], value: int) -> None:
    for token_id in token_ids:
        if token_id < len(mask):
            mask[token_id] = value
