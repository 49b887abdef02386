"""Tours of official clients, each in a process of the clients' own environment (`make clients`)."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOURS = Path(__file__).parent.parent / "clients"
_STEP = 120.0  # seconds
# Besides these a client sees nothing of ours: no proxy, no key, no setting of another server.
_KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR")


def clients_python() -> Path:
    """Beside the environment of the tests. Without it the test is skipped, or fails where
    everything must be there.
    """
    environment = Path(sys.prefix)
    python = environment.with_name(f"{environment.name}-clients") / "bin" / "python"
    if python.exists():
        return python
    reason = f"there is no {python}; run `make clients`"
    if os.environ.get("BATON_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


async def tour(client: str, url: str, model: str, step: str, home: Path) -> None:
    """One step of a client's tour. Fails with what it has said."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *(clients_python(), "-W", "ignore", TOURS / f"{client}_tour.py", url, model, step),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**kept, "HOME": str(home), "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    )
    try:
        async with asyncio.timeout(_STEP):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{client}, {step}:\n{output.decode(errors='replace')}"
