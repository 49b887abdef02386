"""Changing the role: who asks hears what comes of it, and nothing is done before the worker is empty."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from baton.core.errors import RefusedError, RequestError, UnavailableError
from baton.core.worker_info import Role, WorkerInfo, WorkerState
from baton.worker.desk import Desk
from baton.worker.flipping import Flipping
from baton.worker.flips import CALLED_OFF, DONE, OVERTAKEN, Flips
from baton.worker.load import LoadBoard
from tests.support.worker_infos import worker_info
from tests.unit.worker.test_load_board import Reading

PREFILL, DECODE = Role.PREFILL, Role.DECODE


class TurningWorker:
    """What is asked of a worker, without an engine."""

    def __init__(self, roles: tuple[Role, ...] = (PREFILL, DECODE)) -> None:
        self.board = LoadBoard(Reading())
        self.desk = Desk(DECODE, 8, self.board.touch)
        self.info = worker_info("decode-0")
        self.flips = Flips()
        self.announced: list[WorkerInfo] = []
        self.registry_answers = asyncio.Event()
        self.registry_answers.set()
        self.flipping = Flipping(self.desk, self.board, self.info, roles, self.flips)

    @property
    def ends(self) -> dict[tuple[str, str, str], int]:
        return {end: count for end, count in self.flips.told().items() if count}

    def turn(self) -> WorkerInfo:
        self.desk.turn()
        name = f"{self.info.instance_id}'"
        self.info = replace(self.info, role=self.desk.role, instance_id=name)
        return self.info

    async def announce(self, info: WorkerInfo) -> None:
        await self.registry_answers.wait()
        self.announced.append(info)


@asynccontextmanager
async def turning(worker: TurningWorker) -> AsyncIterator[TurningWorker]:
    running = asyncio.create_task(
        worker.flipping.run(lambda: not worker.desk.requests, worker.turn, worker.announce)
    )
    try:
        async with asyncio.timeout(10):
            yield worker
    finally:
        worker.board.close()
        await running


async def test_an_idle_worker_serves_in_the_other_role_at_once() -> None:
    async with turning(TurningWorker()) as worker:
        assert worker.flipping.ask(PREFILL) == 0
        serves = await worker.flipping.until_it_serves(PREFILL)
        assert (serves, [serves]) == (worker.info, worker.announced)
        assert (worker.desk.role, worker.desk.state) == (PREFILL, WorkerState.READY)
        assert worker.ends == {("decode", "prefill", DONE): 1}
        assert worker.flipping.ask(PREFILL) == 0  # again: it has it
        assert await worker.flipping.until_it_serves(PREFILL) == serves


async def test_it_takes_nothing_until_what_it_has_is_done() -> None:
    async with turning(TurningWorker()) as worker:
        with worker.desk.take(DECODE, "a", 0, 1):
            assert worker.flipping.ask(PREFILL) == 1
            for role in Role:
                with pytest.raises(RefusedError):
                    worker.desk.take(role, "b", 0, 1).__enter__()
            assert (worker.desk.role, worker.desk.next_role) == (DECODE, PREFILL)
        await worker.flipping.until_it_serves(PREFILL)
        with pytest.raises(RefusedError, match="a prefill worker now"):
            worker.desk.take(DECODE, "b", 0, 1).__enter__()
        with worker.desk.take(PREFILL, "b", 0, 1):
            pass


async def test_who_waits_hears_that_it_was_called_off() -> None:
    async with turning(TurningWorker()) as worker:
        with worker.desk.take(DECODE, "a", 0, 1):
            worker.flipping.ask(PREFILL)
            waiting = asyncio.create_task(worker.flipping.until_it_serves(PREFILL))
            await asyncio.sleep(0)
            worker.flipping.ask(DECODE)
            assert worker.desk.state is WorkerState.READY
            assert (await worker.flipping.until_it_serves(DECODE)).role is DECODE
            with pytest.raises(RefusedError, match="called off"):
                await waiting
        assert worker.ends == {("decode", "prefill", CALLED_OFF): 1}


async def test_a_worker_that_is_to_leave_changes_nothing_any_more() -> None:
    async with turning(TurningWorker()) as worker:
        with worker.desk.take(DECODE, "a", 0, 1):
            worker.flipping.ask(PREFILL)
            waiting = asyncio.create_task(worker.flipping.until_it_serves(PREFILL))
            await asyncio.sleep(0)
            worker.flipping.leave()
            with pytest.raises(UnavailableError, match="leave"):
                await waiting
            with pytest.raises(RefusedError, match="leave"):
                worker.flipping.ask(PREFILL)
        assert (worker.desk.role, worker.desk.leaves) == (DECODE, True)
        assert worker.ends == {("decode", "prefill", OVERTAKEN): 1}


async def test_it_can_be_asked_for_the_first_role_while_it_joins_in_the_second() -> None:
    async with turning(TurningWorker()) as worker:
        worker.registry_answers.clear()
        worker.flipping.ask(PREFILL)
        await worker.board.until(lambda: worker.desk.role is PREFILL)
        worker.flipping.ask(DECODE)
        worker.registry_answers.set()
        await worker.board.until(lambda: len(worker.announced) == 2)
        assert [info.role for info in worker.announced] == [PREFILL, DECODE]


async def test_a_process_with_one_service_says_so() -> None:
    async with turning(TurningWorker((DECODE,))) as worker:
        with pytest.raises(RequestError, match="no prefill service"):
            worker.flipping.ask(PREFILL)
        assert worker.flipping.ask(DECODE) == 0


async def test_nobody_becomes_an_encode_worker_and_none_becomes_anything_else() -> None:
    async with turning(TurningWorker()) as worker:
        with pytest.raises(RequestError, match="start one with `baton encode`"):
            worker.flipping.ask(Role.ENCODE)
        assert worker.desk.state is WorkerState.READY
    encoder = TurningWorker((Role.ENCODE,))
    encoder.desk.role = Role.ENCODE
    for role in (PREFILL, DECODE):
        with pytest.raises(RequestError, match="no language model"):
            encoder.flipping.ask(role)
    assert encoder.desk.state is WorkerState.READY
