"""Workers whose pools no peer can read hand over through slots of host memory: the same answers."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from baton.core.worker_info import Role
from baton.engine.blocks.device_storage import DeviceStorage
from baton.engine.runners.torch_runner import load_torch_runner
from baton.engine.work import WorkDone
from baton.worker.settings import WorkerSettings
from kv_transfer import staging
from tests.integration.worker.test_prefill_to_decode import both_idle, relay
from tests.support.device_runs import CPU, device_runner
from tests.support.engine_events import EventLog
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_running import running_engine
from tests.support.engine_works import GREEDY, generate, prompt_of, sampled
from tests.support.fake_device import FakeDeviceStorage, FakeStage
from tests.support.hash_answer import hash_answer
from tests.support.models import make
from tests.support.worker_pair import Served, serving


@pytest.fixture(autouse=True)
def small_areas(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long prompt passes through many of them."""
    monkeypatch.setattr(staging, "AREA_BYTES", 3 * HASH_MODEL.layout(16).block_bytes)


def settings(role: Role, **fields: str) -> WorkerSettings:
    size = 256 * HASH_MODEL.layout(16).block_bytes
    made = WorkerSettings(model="test", worker_id=role.value, kv_cache_memory_bytes=size)
    return replace(made, **fields)  # type: ignore[arg-type]


async def pair(stack: AsyncExitStack, staged: str, **fields: str) -> tuple[Served, Served]:
    """`staged`: p, d or both."""
    prefill, decode = [
        await stack.enter_async_context(
            serving(
                role,
                settings=settings(role, **fields),
                storage=FakeDeviceStorage() if role.value[0] in staged else None,
            )
        )
        for role in (Role.PREFILL, Role.DECODE)
    ]
    return prefill, decode


@pytest.mark.parametrize("staged", ["p", "d", "pd"])
@pytest.mark.parametrize("transport", ["shm", "tcp", "grpc"])
async def test_answers_are_those_of_pools_in_the_open(staged: str, transport: str) -> None:
    jobs = [(prompt_of(n, salt=n), sampled(12, seed=n)) for n in (1, 16, 40, 700)]
    async with AsyncExitStack() as stack:
        workers = await pair(stack, staged, kv_transport=transport, kv_checksums="on")
        for prompt, params in jobs:
            assert await relay(*workers, prompt, params) == hash_answer(HASH_MODEL, prompt, params)
        await both_idle(*workers)
        for served, copied in zip(workers, ("sent", "landed"), strict=True):
            stage = served.worker._stage
            assert (stage is not None) == (served.worker.info.role.value[0] in staged)
            assert stage is None or len(getattr(stage, copied)) == 1 + 1 + 3 + 44, "by way of slots"
            check_at_rest(served)


def check_at_rest(served: Served) -> None:
    lending = served.worker.sender.lending
    if lending is not None:
        assert lending.free == lending._total, "slots were lost"
        assert len(served.worker._puller._landing._free) == staging.AREAS  # type: ignore[union-attr]


async def test_hand_offs_that_do_not_fit_beside_each_other_take_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten of seven blocks, and room for nine."""
    monkeypatch.setattr(FakeStage, "limit", 4 * 3 + 9)
    jobs = [(prompt_of(100 + i, salt=i), sampled(6, seed=i)) for i in range(10)]
    async with AsyncExitStack() as stack:
        workers = await pair(stack, "pd")
        answers = await asyncio.gather(*(relay(*workers, p, s) for p, s in jobs))
        assert answers == [hash_answer(HASH_MODEL, p, s) for p, s in jobs]
        await both_idle(*workers)
        check_at_rest(workers[0])


async def test_a_real_model_answers_as_an_engine_alone_does(tmp_path: Path) -> None:
    """Its pools tensors of their own, as on a device."""
    model = make("Llama", tmp_path / "llama")
    prompt, params = tuple(range(3, 90)), replace(GREEDY, max_tokens=12, ignore_eos=True)
    made = WorkerSettings(
        model=str(model),
        kv_cache_memory_bytes=4 << 20,
        attention_backend="torch",
        max_model_len=256,
        max_num_seqs=8,
        max_num_batched_tokens=32,
        device="cpu",
    )
    async with AsyncExitStack() as stack:
        prefill, decode = [
            await stack.enter_async_context(
                serving(
                    role,
                    settings=replace(made, worker_id=role.value),
                    runner=device_runner(model, made.engine),
                    storage=DeviceStorage(CPU),
                )
            )
            for role in (Role.PREFILL, Role.DECODE)
        ]
        answer = await relay(prefill, decode, prompt, params)
        await both_idle(prefill, decode)
        check_at_rest(prefill)
    log = EventLog()
    with running_engine(made.engine, load_torch_runner(str(model), made.engine)) as engine:
        engine.submit(generate("alone", prompt, params), log)
        assert isinstance(log.wait_for_end(), WorkDone)
    assert [r.token_id for r in answer[0]] == [r.token_id for r in log.records()]
