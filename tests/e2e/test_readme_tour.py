"""README.md's tour, as it is printed, on the model that comes with Baton."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.clients import Client
from tests.support.cluster import RunningCluster, baton_up
from tests.support.programs import needed
from tests.support.tour import Step, steps_of

ROOT = Path(__file__).parents[2]
STEPS = steps_of((ROOT / "README.md").read_text("utf-8"))
README_URL = "http://127.0.0.1:8000"
PATIENCE = 60.0  # seconds for one step

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[RunningCluster]:
    """`baton up` without a word about the model."""
    async with baton_up("--port=0") as running:
        await running.begin(120)
        yield running
        await running.end()


async def test_there_is_a_tour() -> None:
    assert len(STEPS) >= 4


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.title)
async def test_the_tour_shows_what_happens(
    step: Step, cluster: RunningCluster, tmp_path: Path
) -> None:
    printed = await run(step, cluster.url, tmp_path)
    if step.shown:
        assert step.matches(printed), f"README.md shows\n{step.shown}\nbut it was\n{printed}"


async def test_the_cluster_says_which_model_it_serves(cluster: RunningCluster) -> None:
    assert (
        cluster.output[0] == "no --model given: serving baton-demo, the toy that comes with Baton"
    )
    async with Client(cluster.url) as client:
        models = (await client.http.get("/v1/models")).json()
    assert [model["id"] for model in models["data"]] == ["baton-demo"]


async def run(step: Step, url: str, folder: Path) -> str:
    """What it prints; it must succeed."""
    typed = step.typed.replace(README_URL, url)
    if step.language == "python":
        argv = [sys.executable, "-c", typed]
    else:
        if "curl" in typed:
            needed("curl", "curl")
        baton = Path(sys.executable).parent / "baton"
        argv = ["bash", "-o", "pipefail", "-c", re.sub(r"\.venv/bin/baton\b", str(baton), typed)]
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env={**os.environ, "BATON_URL": url, "no_proxy": "*", "NO_PROXY": "*"},
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, complaints.decode()
    return out.decode()
