"""Two workers on a device: what is handed over through page-locked memory is answered as by one."""

from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from baton.core.worker_info import Role
from baton.engine.blocks.device_storage import DeviceStorage
from baton.engine.work import WorkDone
from baton.worker.settings import WorkerSettings
from tests.integration.worker.test_prefill_to_decode import both_idle, relay
from tests.support.engine_events import EventLog
from tests.support.engine_works import GREEDY, generate
from tests.support.gpu import GPU, gpu_config, gpu_engine, gpu_runner
from tests.support.worker_pair import serving


@pytest.mark.parametrize("transport", ["shm", "tcp"])
async def test_disaggregated_equals_aggregated(llama: Path, transport: str) -> None:
    prompt, params = tuple(range(3, 500)), replace(GREEDY, max_tokens=30, ignore_eos=True)
    config = gpu_config(dtype="float32")
    settings = WorkerSettings(
        model=str(llama),
        device="cuda:0",
        dtype="float32",
        kv_cache_memory_bytes=config.pool_bytes,
        max_num_seqs=config.max_num_seqs,
        max_num_batched_tokens=config.max_num_batched_tokens,
        kv_transport=transport,
        kv_checksums="on",
    )
    async with AsyncExitStack() as stack:
        workers = []
        for role in (Role.PREFILL, Role.DECODE):
            runner, _ = gpu_runner(llama, config, 4)  # its own pool comes with the engine
            made = replace(settings, worker_id=role.value)
            worker = serving(role, settings=made, runner=runner, storage=DeviceStorage(GPU))
            workers.append(await stack.enter_async_context(worker))
        answer = await relay(workers[0], workers[1], prompt, params)
        await both_idle(workers[0], workers[1])
    log = EventLog()
    with gpu_engine(llama, config) as engine:
        engine.submit(generate("alone", prompt, params), log)
        assert isinstance(log.wait_for_end(), WorkDone)
    assert [r.token_id for r in answer[0]] == [r.token_id for r in log.records()]
