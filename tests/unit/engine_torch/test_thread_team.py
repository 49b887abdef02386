"""Who computes only now and then keeps none of OpenMP's threads: only the thread of the steps does."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from baton.engine.config import EngineConfig
from baton.engine.machine.thread_team import release_team, wait_briefly
from baton.engine.runners.torch_runner import load_torch_runner

PATIENCE = 20.0  # seconds


def computed_in_parallel() -> set[str]:
    """The threads that came to help the calling one."""
    torch.set_num_threads(2)  # which begins a thread of torch's own
    before = set(os.listdir("/proc/self/task"))
    torch.rand(1 << 20).exp_()
    return set(os.listdir("/proc/self/task")) - before


def gone(helpers: set[str]) -> bool:
    """They end by themselves, soon after they are told."""
    end = time.monotonic() + PATIENCE
    while helpers & set(os.listdir("/proc/self/task")):
        if time.monotonic() > end:
            return False
        os.sched_yield()
    return True


def on_a_thread(act: Callable[[], None]) -> None:
    with ThreadPoolExecutor(1) as thread:
        helpers = thread.submit(computed_in_parallel).result()
        assert helpers
        thread.submit(act).result()
        assert gone(helpers)


def test_a_team_goes_when_it_is_told() -> None:
    on_a_thread(release_team)


def test_whoever_has_loaded_a_model_keeps_no_team(llama: Path) -> None:
    def load() -> None:
        load_torch_runner(str(llama), EngineConfig(block_size=16, threads=2))

    on_a_thread(load)


def test_a_team_comes_back_when_it_is_needed_again() -> None:
    with ThreadPoolExecutor(1) as thread:
        thread.submit(computed_in_parallel).result()
        thread.submit(release_team).result()
        values = torch.rand(1 << 20)
        expected = values.sin()
        assert torch.equal(thread.submit(values.sin).result(), expected)


def test_threads_wait_briefly_unless_somebody_said_how_long() -> None:
    environ: dict[str, str] = {}
    wait_briefly(environ)
    assert int(environ["GOMP_SPINCOUNT"]) > 0
    theirs = {"GOMP_SPINCOUNT": "7"}
    wait_briefly(theirs)
    assert theirs == {"GOMP_SPINCOUNT": "7"}


def test_a_worker_of_steps_can_still_say_so_when_its_process_begins() -> None:
    """libgomp reads it once, when torch is imported."""
    names = ", ".join(f"{role}_worker.__main__" for role in ("prefill", "decode"))
    program = f"import sys, {names}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE)
