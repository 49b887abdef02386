"""`baton flip` against real workers; what the gateway knows of them comes from a stand-in."""

import asyncio
from dataclasses import replace
from typing import Any

from baton.core.worker_info import Role
from baton.worker.settings import WorkerSettings
from tests.support.baton_command import Ran, baton, baton_process
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import GREEDY, prompt_of
from tests.support.fake_status import fake_status
from tests.support.moving import begun
from tests.support.worker_pair import Served, serving

SECRET = "of the cluster"
SLOW = replace(HASH_MODEL, step_seconds=0.005)
ENDLESS = replace(GREEDY, max_tokens=4000, ignore_eos=True)  # no test waits for its end
SETTINGS = WorkerSettings(
    model="test", worker_id="decode-1", kv_cache_memory_bytes=16 << 20, cluster_secret=SECRET
)
OTHER = {"id": "decode-0", "role": "decode", "state": "ready"}


async def flip(served: Served, *words: str, secret: str = SECRET) -> Ran:
    info = served.worker.info
    worker: dict[str, Any] = {"id": "decode-1", "address": info.address, "pid": info.pid}
    with fake_status([worker | {"role": info.role.value, "state": "ready"}, OTHER]) as url:
        env = {"BATON_CLUSTER_SECRET": secret, "BATON_URL": url}
        return await baton_process("flip", "decode-1", *words, env=env)


async def test_it_says_what_is_left_waits_if_told_to_and_can_be_called_off() -> None:
    async with serving(Role.DECODE, SLOW, settings=SETTINGS) as served, asyncio.timeout(50):
        stream = await begun(served, prompt_of(9), ENDLESS, 1)
        told = await flip(served, "prefill")
        assert told.stdout == "decode-1 is to be a prefill worker; 1 request is left\n"
        assert "serves as a decode worker" in (await flip(served, "decode", "--wait")).stdout
        await flip(served, "prefill")
        stream.call.cancel()
        assert (await flip(served, "prefill", "--wait")).exit_code == 0
        assert served.worker.info.role is Role.PREFILL


async def test_without_the_clusters_secret_it_says_what_to_do() -> None:
    async with serving(Role.DECODE, settings=SETTINGS) as served:
        told = await flip(served, "prefill", secret="another")
        assert told.exit_code == 1
        assert "--cluster-secret" in told.stderr
        assert served.worker.info.role is Role.DECODE


def test_what_cannot_be_is_one_sentence() -> None:
    prefill = {"id": "prefill-0", "address": "127.0.0.1:1", "pid": 1, "role": "prefill"}
    alone = {"id": "decode-1", "address": "127.0.0.1:1", "pid": 1, "role": "decode"}
    draining = OTHER | {"state": "draining"}
    with fake_status([prefill, alone, draining]) as url:
        last = baton("flip", "decode-1", "prefill", "--url", url)
        unknown = baton("flip", "decode-7", "decode", "--url", url)
        unreachable = baton("flip", "prefill-0", "decode", "--url", url)
        no_role = baton("flip", "prefill-0", "both", "--url", url)
    assert [ran.exit_code for ran in (last, unknown, unreachable, no_role)] == [1, 1, 1, 2]
    assert "without decode-1 nobody would write answers" in last.stderr
    assert "there is no worker decode-7" in unknown.stderr
    assert unreachable.stderr.startswith("Error: prefill-0 at 127.0.0.1:1: ")
