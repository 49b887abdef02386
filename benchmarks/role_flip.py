"""How long a worker takes to serve in the other role, against one that is restarted.

python -m benchmarks.role_flip --rounds 20
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import click

from baton.cluster.api_client import ApiClient
from baton.cluster.cluster_access import ClusterAccess
from baton.cluster.http_stream import ServerError
from baton.cluster.status_page import fetch_status
from baton.cluster.told_worker import ToldWorker
from baton.core.errors import BatonError
from baton.core.worker_info import Role, WorkerInfo
from benchmarks.measures import quantile, ratio_of
from benchmarks.processes import cluster, folder_of

SECRET = "of the benchmark"
WORKER = "decode-1"
BOUND = 1.0  # seconds
PATIENCE = 120.0  # seconds for a restart
POLL = 0.005  # seconds between two looks at the gateway's status


@click.command()
@click.option(
    "--model",
    type=click.Path(exists=True, path_type=Path),
    help="Its folder; left out: a tiny random one is made.",
)
@click.option("--rounds", default=10, show_default=True, type=click.IntRange(1))
def main(model: Path | None, rounds: int) -> None:
    """One prefill and two decode workers, idle. A round: there, back, and killed, which `baton up`
    answers by starting it again. One more round before them is not measured.

    Exit code 1: the p99 of a change of role, as the gateway sees it, was not below 1 s.
    """
    words = [f"--cluster-secret={SECRET}", "--prefill-workers=1", "--decode-workers=2"]
    words += ["--log-level=error"]
    told: list[float] = []  # until the worker says so
    seen: list[float] = []  # until the gateway places requests by it
    restarts: list[float] = []
    try:
        with folder_of(model) as folder, cluster([*words, f"--model={folder}"]) as url:
            client = ApiClient(url)
            for number in range(rounds + 1):
                flips = [flip(client, role) for role in (Role.PREFILL, Role.DECODE)]
                restart = restarted(client)
                if number:
                    told += [told_after for told_after, _ in flips]
                    seen += [seen_after for _, seen_after in flips]
                    restarts.append(restart)
    except (ServerError, BatonError, OSError) as error:
        raise click.ClickException(str(error)) from error
    show("the worker is a member in the other role", told)
    show("the gateway lists it so, ready", seen)
    show("a new process, until the gateway lists it, ready", restarts)
    pairs = [(flip_, restart) for flip_, restart in zip(seen[::2], restarts, strict=True)]
    ratio = ratio_of(pairs)
    click.echo(f"a flip / a restart: {ratio.median:.4f} ({ratio.low:.4f} to {ratio.high:.4f})")
    raise SystemExit(quantile(seen, 0.99) >= BOUND)


def show(what: str, times: list[float]) -> None:
    click.echo(
        f"{what}: median {median(times) * 1e3:.1f} ms, p99 {quantile(times, 0.99) * 1e3:.1f} ms, "
        f"longest {max(times) * 1e3:.1f} ms ({len(times)})"
    )


def flip(client: ApiClient, role: Role) -> tuple[float, float]:
    """Seconds from the command until the worker says so, and until the gateway does."""
    worker = ToldWorker.named(WORKER, fetch_status(client))
    began = time.monotonic()
    asyncio.run(flipped(worker, role))
    told = time.monotonic() - began
    until(client, lambda about: about["role"] == role.value)
    return told, time.monotonic() - began


async def flipped(worker: ToldWorker, role: Role) -> WorkerInfo:
    last: WorkerInfo | None = None
    async for news in worker.flip(role, ClusterAccess(SECRET)):
        last = news if isinstance(news, WorkerInfo) else None
    assert last is not None
    return last


def restarted(client: ApiClient) -> float:
    """Seconds from the start of another process of that worker until the gateway lists it, ready.
    Whoever starts it again may have waited before: with each death longer.
    """
    pid = ToldWorker.named(WORKER, fetch_status(client)).pid
    os.kill(pid, signal.SIGKILL)
    about = until(client, lambda about: about["pid"] != pid)
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started(about["pid"])


def started(pid: int) -> float:
    """On the clock that runs since the machine was started; to 10 ms."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


def until(client: ApiClient, so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What the gateway says of the worker then."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for about in fetch_status(client)["workers"]:
            if about["id"] == WORKER and about["state"] == "ready" and so(about):
                return dict(about)
        time.sleep(POLL)
    raise ServerError(f"{WORKER} was not ready after {PATIENCE:g} s")


if __name__ == "__main__":
    main()
