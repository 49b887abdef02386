"""What Ray takes as an orchestrator, beside plain processes: a start, a worker's death, a node's death.

python -m benchmarks.ray_orchestrator --rounds 5

It runs in a network of its own (`unshare -n`, as root), for Ray listens on every interface. Nodes of Ray
are addresses there: a head that has room for nobody, and two with room for one worker each.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import mkdtemp

import click

from baton.cluster.model_presets import make_model
from baton.cluster.ray.runtime import SYSTEM_CONFIG
from benchmarks.measures import ratio_of

_INSIDE = "BENCHMARK_IN_A_NETWORK_OF_ITS_OWN"
_HEAD, *_NODES = "10.77.0.1", "10.77.0.2", "10.77.0.3"
_ADDRESS = f"{_HEAD}:6379"
_RAY = Path(sys.executable).with_name("ray")
_TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "5ec2e7" * 8, "RAY_USAGE_STATS_ENABLED": "0"}
_LONGEST = 300  # seconds for anything


class Cluster:
    """A `baton up`; what it says is read as it comes."""

    def __init__(self, up: "subprocess.Popen[str]", began: float) -> None:
        self._up = up
        self._began = began

    def until(self, pattern: str) -> tuple[float, re.Match[str]]:
        """Seconds since the start, or since the last kill, of the next line that fits."""
        said: list[str] = []
        assert self._up.stdout is not None
        for line in self._up.stdout:
            said.append(line)
            if match := re.match(pattern, line):
                return time.monotonic() - self._began, match
        raise click.ClickException(f"baton up did not say {pattern!r}:\n{''.join(said)}")

    def kill(self, pids: Sequence[int]) -> None:
        self._began = time.monotonic()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def baton_up(*words: str) -> Iterator[Cluster]:
    argv = [sys.executable, "-m", "baton.cluster.entry", "up", "--port=0", *words]
    began = time.monotonic()
    with subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **_TOKEN},
    ) as up:
        ending = signal.alarm(_LONGEST)  # a line that never comes ends the benchmark
        try:
            yield Cluster(up, began)
        finally:
            signal.alarm(ending)
            up.send_signal(signal.SIGINT)
            up.communicate()


def start_and_kill(model: Path, *words: str) -> tuple[float, float, float]:
    """Seconds from the command to all ready; from a worker's SIGKILL to `baton up` saying so, and to
    the worker being a member again.
    """
    with baton_up(f"--model={model}", "--kv-cache-memory-bytes=8MiB", *words) as cluster:
        _, ready = cluster.until(r"decode-0 ready: pid (\d+)")
        whole, _ = cluster.until("endpoint: ")
        cluster.kill([int(ready[1])])
        noticed, _ = cluster.until("decode-0 died ")
        again, _ = cluster.until("decode-0 ready: ")
        return whole, noticed, again


@contextmanager
def ray_node(address: str, cpus: int, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    argv = [str(_RAY), "start", *words, f"--node-ip-address={address}", f"--num-cpus={cpus}"]
    with subprocess.Popen(
        [*argv, "--object-store-memory=83886080", "--disable-usage-stats", "--block"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **_TOKEN},
    ) as node:
        try:
            yield node
        finally:
            family = descendants(node.pid)
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            while any(map(_lives, family)):  # and writes into a folder that is to go
                time.sleep(0.05)


def descendants(pid: int) -> list[int]:
    """With itself."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def _lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    return False


def kill_a_node(model: Path) -> tuple[float, float]:
    """Seconds from the end of the node with the worker to `baton up` saying so, and to the worker
    being a member again on the other.
    """
    with ExitStack() as stack:
        nodes: dict[str, subprocess.Popen[bytes]] = {}
        for address in _NODES:  # not at once: nodes of one machine get in each other's way
            nodes[address] = stack.enter_context(ray_node(address, 1, f"--address={_ADDRESS}"))
            _await_nodes(1 + len(nodes))
        words = (f"--model={model}", "--kv-cache-memory-bytes=8MiB", "--prefill-workers=0")
        with baton_up(*words, "--orchestrator=ray", f"--ray-address={_ADDRESS}") as cluster:
            _, ready = cluster.until(r"decode-0 ready: pid \d+, (.*):\d+, ")
            cluster.until("endpoint: ")
            cluster.kill(descendants(nodes[ready[1]].pid))
            noticed, _ = cluster.until(f"node {ready[1]} is gone")
            again, _ = cluster.until("decode-0 ready: ")
            return noticed, again


def _await_nodes(count: int) -> None:
    asking = (
        f"import ray, time; ray.init(address={_ADDRESS!r}, logging_level='error')\n"
        f"while sum(n['Alive'] for n in ray.nodes()) != {count}: time.sleep(0.1)"
    )
    for _ in range(30):  # the head may not listen yet
        done = subprocess.run(
            [sys.executable, "-c", asking],
            env={**os.environ, **_TOKEN},
            stderr=subprocess.DEVNULL,
            timeout=_LONGEST,
        )
        if done.returncode == 0:
            return
    raise click.ClickException("the nodes of Ray did not find each other")


@click.command()
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@click.option("--workers/--no-workers", default=True, help="Starts, and deaths of workers.")
@click.option("--nodes/--no-nodes", default=True, help="Deaths of nodes.")
def main(rounds: int, workers: bool, nodes: bool) -> None:
    """Rounds take turns in what goes first."""
    if _INSIDE not in os.environ:
        os.environ[_INSIDE] = "1"
        # and processes of its own, so that nothing of Ray is left however this ends
        apart = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        again = [sys.executable, "-m", "benchmarks.ray_orchestrator", *sys.argv[1:]]
        os.execvp("unshare", [*apart, *again])
    for words in (
        ["link", "set", "lo", "up"],
        *(["address", "add", f"{a}/32", "dev", "lo"] for a in (_HEAD, *_NODES)),
    ):
        subprocess.run(["ip", *words], check=True)
    folder = Path(mkdtemp(prefix="ray-bench-"))
    try:
        model = folder / "hash"
        make_model("hash", model, lambda _: None)
        if workers:
            _one_machine(model, rounds)
        if nodes:
            _several_nodes(model, rounds, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _one_machine(model: Path, rounds: int) -> None:
    found: dict[str, list[tuple[float, float, float]]] = {"Ray": [], "processes": []}
    flags = {"Ray": ("--orchestrator=ray",), "processes": ()}
    for number in range(rounds):
        for name in sorted(found, reverse=bool(number % 2)):
            found[name].append(start_and_kill(model, *flags[name]))
            click.echo(f"round {number + 1}/{rounds}  {name}: {_told(found[name][-1])}")
    for place, what in enumerate(("start to ready", "kill to noticed", "kill to serving again")):
        ours = [times[place] for times in found["Ray"]]
        theirs = [times[place] for times in found["processes"]]
        ratio = ratio_of(list(zip(ours, theirs, strict=True)))
        click.echo(
            f"{what}: Ray {_spread(ours)}, processes {_spread(theirs)}, "
            f"Ray / processes {ratio.median:.1f} ({ratio.low:.1f} to {ratio.high:.1f})"
        )


def _several_nodes(model: Path, rounds: int, folder: Path) -> None:
    head = ("--head", "--port=6379", f"--temp-dir={folder / 'ray'}", "--include-dashboard=false")
    found: list[tuple[float, float]] = []
    with ray_node(_HEAD, 0, *head, f"--system-config={json.dumps(SYSTEM_CONFIG)}"):
        for number in range(rounds):
            _await_nodes(1)  # the head, and none of the round before
            found.append(kill_a_node(model))
            click.echo(f"round {number + 1}/{rounds}  a node of Ray: {_told(found[-1])}")
    for place, what in enumerate(("node killed to noticed", "node killed to serving elsewhere")):
        click.echo(f"{what}: Ray {_spread([times[place] for times in found])}")


def _told(times: Sequence[float]) -> str:
    return "  ".join(f"{seconds:.2f} s" for seconds in times)


def _spread(times: Sequence[float]) -> str:
    return f"{median(times):.2f} s ({min(times):.2f} to {max(times):.2f})"


if __name__ == "__main__":
    main()
