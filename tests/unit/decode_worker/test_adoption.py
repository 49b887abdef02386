"""What a pulled cache means for a work, and what does not fit it."""

from dataclasses import replace

import pytest

from baton.core.errors import TransferError
from baton.core.sampling_params import BeamSearch
from baton.core.token_record import FinishReason, TokenRecord
from baton.engine.work import Mode, Work
from decode_worker.adoption import adopted
from kv_transfer.pulling import Pulled
from kv_transfer.timeline import Timing
from tests.support.engine_works import sampled

pytestmark = pytest.mark.unit

WORK = Work("w", (1, 2, 3, 4), sampled(20), Mode.DECODE, answered=(10, 11))
BLOCKS = (7, 8)


def pulled(num_tokens: int, *records: TokenRecord) -> Pulled:
    return Pulled(
        blocks=BLOCKS,
        records=records,
        continuation=True,
        num_tokens=num_tokens,
        held_tokens=0,
        bytes=0,
        transport="shm",
        timing=Timing(0.0, 0.0, 0.0, ()),
        repaired_blocks=0,
    )


def records(first: int, *ids: int) -> tuple[TokenRecord, ...]:
    return tuple(TokenRecord(0, position, token) for position, token in enumerate(ids, first))


def test_from_prefill_comes_the_first_token_behind_what_is_known() -> None:
    first = replace(records(6, 12)[0], finish_reason=FinishReason.STOP)
    work, told = adopted(WORK, pulled(6, first))
    assert work == replace(WORK, blocks=BLOCKS, first=(first,))
    assert told == (first,)


@pytest.mark.parametrize("known", [(), (10,), (10, 11), (10, 11, 12), (10, 11, 12, 13)])
def test_from_decode_comes_the_whole_answer_of_which_the_rest_is_told(
    known: tuple[int, ...],
) -> None:
    answer = records(4, 10, 11, 12, 13)
    work, told = adopted(replace(WORK, answered=known), pulled(7, *answer))
    assert work.answered == (10, 11, 12)
    assert work.first == answer[-1:]
    assert work.blocks == BLOCKS
    assert told == answer[len(known) :]


def test_several_choices_and_searches_begin_with_what_prefill_drew() -> None:
    two = replace(WORK, params=sampled(20, n=2), answered=())
    first = (TokenRecord(0, 4, 1), TokenRecord(1, 4, 2))
    assert adopted(two, pulled(4, *first)) == (replace(two, blocks=BLOCKS, first=first), first)
    search = replace(two, params=replace(two.params, beam=BeamSearch()))
    assert adopted(search, pulled(4)) == (replace(search, blocks=BLOCKS), ())
    with pytest.raises(TransferError, match="the KV of 5 tokens came, 4 are known"):
        adopted(two, pulled(5, *first))


@pytest.mark.parametrize(
    ("num_tokens", "came", "match"),
    [
        (6, (), "its records stand at"),
        (7, records(6, 12), "its records stand at"),  # ends elsewhere than its KV
        (7, records(7, 12), "6 tokens are known"),  # a gap
        (4, records(4, 10), "6 tokens are known"),  # less than was told
        (6, records(3, 4, 10, 11, 12), "6 tokens are known"),  # reaches into the prompt
        (6, (*records(4, 10), *records(6, 12)), "its records stand at"),
        (6, records(4, 10, 99, 12), "its token at 5 is another"),
        (6, (TokenRecord(1, 6, 12),), "a record of choice 1"),
    ],
)
def test_what_does_not_fit_is_not_used(
    num_tokens: int, came: tuple[TokenRecord, ...], match: str
) -> None:
    with pytest.raises(TransferError, match=match):
        adopted(WORK, pulled(num_tokens, *came))
