"""What breaks under an answer: what goes on elsewhere, what does not, and how often."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from baton.core.errors import (
    BatonError,
    InternalError,
    RefusedError,
    TransferError,
    UnavailableError,
)
from baton.v1 import decode_pb2
from gateway.breaks import MOST_BREAKS
from tests.support.gateway_cluster import GatewayUnderTest
from tests.support.gateway_fake_workers import RESERVED, decoded
from tests.support.gateway_mortal_workers import FakeModel, MortalWorkers
from tests.support.gateway_reading import TEXT, events
from tests.support.mortal_pairs import (
    SEED,
    STREAM,
    decodes,
    failovers,
    forget,
    post,
    requests,
    two_pairs_of,
)

pytestmark = pytest.mark.usefixtures("soon_forgotten")


async def test_the_worker_that_broke_off_is_not_asked_again_while_there_is_another(
    two_pairs: GatewayUnderTest,
) -> None:
    workers = MortalWorkers(FakeModel({SEED: [40, 41, 42, 43]}))
    workers.serve(two_pairs)
    for _ in range(3):
        forget(two_pairs)
        workers.decode_deaths.append(2)
        await post(two_pairs, TEXT, {"prompt": [5]})
        assert [len(worker.calls.all) for worker in decodes(two_pairs)] == [1, 1]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UnavailableError("gone"), "unavailable"),
        (TransferError("the hand-off is over"), "transfer"),
        (RefusedError("stopping"), "refused"),
    ],
)
async def test_what_another_worker_may_do_better_goes_on(
    two_pairs: GatewayUnderTest, error: BatonError, reason: str
) -> None:
    workers = MortalWorkers(FakeModel({SEED: [40, 41, 42, 43]}), error)
    workers.serve(two_pairs)
    workers.decode_deaths.append(2)
    text = (await post(two_pairs, TEXT, {"prompt": [5], "return_token_ids": True, **STREAM})).text
    told = [t for e in events(text) for c in e["choices"] for t in c["token_ids"] or []]
    assert told == [40, 41, 42, 43]
    assert (await failovers(two_pairs))[reason] == 1


async def test_a_defect_of_a_worker_does_not_go_on(two_pairs: GatewayUnderTest) -> None:
    workers = MortalWorkers(FakeModel({SEED: [40, 41, 42, 43]}), InternalError("not a number"))
    workers.serve(two_pairs)
    workers.decode_deaths.append(2)
    text = (await post(two_pairs, TEXT, {"prompt": [5], **STREAM})).text
    assert events(text)[-1]["error"]["code"] == 500
    assert len(requests(two_pairs)) == 1


async def test_a_continuation_that_contradicts_what_was_told_is_a_fault(
    two_pairs: GatewayUnderTest,
) -> None:
    workers = MortalWorkers(FakeModel({SEED: [40, 41, 42, 43]}))
    workers.serve(two_pairs)
    other = FakeModel({SEED: [40, 49, 42, 43]})

    async def forgetful(request: Any) -> AsyncIterator[decode_pb2.GenerateResponse]:
        if request.attempt == 1:
            async for response in workers.decode(request):
                yield response
            return
        yield RESERVED
        for row in other.rows(len(request.prompt_token_ids), SEED, 1, (), False):
            yield decoded(row)

    for worker in decodes(two_pairs):
        worker.decode_script = forgetful
    workers.decode_deaths.append(2)
    text = (await post(two_pairs, TEXT, {"prompt": [5], **STREAM})).text
    assert events(text)[-1]["error"]["code"] == 500


async def test_breaks_that_bring_no_token_end_with_the_time(thinking_folder: Path) -> None:
    async with two_pairs_of(thinking_folder, failover_timeout=0.5) as two_pairs:
        workers = MortalWorkers(FakeModel({SEED: [40, 41, 42, 43]}))
        workers.serve(two_pairs)
        workers.decode_deaths.append(2)
        workers.prefill_deaths += [False, *[True] * 1000]
        text = (await post(two_pairs, TEXT, {"prompt": [5], **STREAM})).text
        assert "error" in events(text)[-1]
        assert 3 <= len(requests(two_pairs)) < 20  # each waits longer than the one before


async def test_a_request_that_kills_everybody_is_given_up_in_the_end(
    two_pairs: GatewayUnderTest,
) -> None:
    workers = MortalWorkers(FakeModel({SEED: list(range(40, 40 + 2 * MOST_BREAKS))}))
    workers.serve(two_pairs)
    workers.decode_deaths += [1] * (2 * MOST_BREAKS)
    text = (await post(two_pairs, TEXT, {"prompt": [5], **STREAM})).text
    assert events(text)[-1]["error"]["code"] == 503
    assert len(requests(two_pairs)) == MOST_BREAKS
