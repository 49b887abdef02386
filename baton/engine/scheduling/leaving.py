"""Which choice of a running answer can be given away as it is, and what is told of it."""

from collections.abc import Iterable

from baton.core.errors import RefusedError
from baton.core.token_record import TokenRecord
from baton.engine.sequence import Sequence, SequenceState
from baton.engine.work import ChoiceLent

_HOLDERS = (SequenceState.RUNNING, SequenceState.READY)


def leaving(key: str, sequences: Iterable[Sequence], choice: int) -> Sequence:
    """The one that computes `choice`, in which only the last token's KV is not there yet.

    Raises RefusedError where there is none: not begun, preempted, a search, or over.
    """
    for sequence in sequences:
        if sequence.choices == (choice,) and _can_leave(sequence):
            return sequence
    raise RefusedError(f"{key}: choice {choice} is not being written now")


def _can_leave(sequence: Sequence) -> bool:
    if sequence.work.searches or sequence.lends or sequence.is_prompt:
        return False
    return sequence.state in _HOLDERS and sequence.remaining == 1


def choice_lent(sequence: Sequence, blocks: tuple[int, ...]) -> ChoiceLent:
    """`blocks` hold what is computed, one reference more on each."""
    first = len(sequence.work.prompt)
    answer = enumerate(sequence.tokens[first:], first)
    records = tuple(TokenRecord(0, position, token) for position, token in answer)
    return ChoiceLent(blocks, sequence.num_computed, records)
