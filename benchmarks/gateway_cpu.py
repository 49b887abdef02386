"""What a gateway takes of a core: per streamed token beside the barest pump, and per request.

python -m benchmarks.gateway_cpu --rounds 7

Workers are scripted (`scripted_workers.py`): one message a token, all streams in step. Times are CPU
seconds of the process, all its threads. A token's is the difference between long and short answers
of as many requests; a request's is of answers of one token, over a cluster of a hundred workers.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click

from baton.cluster.http_stream import ServerError, request
from benchmarks.load import make_bodies, run
from benchmarks.measures import Ratio, ratio_of
from benchmarks.processes import free_port
from benchmarks.prompts import Shape

DEMO = Path(__file__).parent.parent / "baton" / "demo"
TOKEN_TARGET = 1.5  # gateway / pump
REQUEST_TARGET = 2e-3  # seconds
SHORT = 8  # tokens of an answer that is subtracted
IDS = (300, 2500)  # that prompts draw from
_START = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    pid: int

    def cpu(self) -> float:
        """Seconds so far, of user and kernel; none of its threads ends while it serves."""
        threads = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((one / "schedstat").read_text().split()[0]) for one in threads) / 1e9


@dataclass(frozen=True, slots=True)
class Load:
    streams: int
    requests: int
    input_len: int
    output_len: int


@click.command()
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1))
@click.option("--streams", default=32, show_default=True, help="At a time.")
@click.option("--output-len", default=256, show_default=True, help="Tokens of the long answers.")
@click.option("--requests", default=400, show_default=True, help="Of one token, in a round.")
@click.option("--input-len", default=512, show_default=True, help="Tokens.")
@click.option("--workers", default=100, show_default=True, help="Half of them read prompts.")
@click.option("--step-seconds", default=0.02, show_default=True, help="Between two tokens.")
def main(
    rounds: int,
    streams: int,
    output_len: int,
    requests: int,
    input_len: int,
    workers: int,
    step_seconds: float,
) -> None:
    """Exit code 1: a median missed its target."""
    long = Load(streams, streams, input_len, output_len)
    brief = Load(8, requests, input_len, 1)
    try:
        with (
            cluster(prefill=0, decode=1, step=step_seconds) as (gateway, decoders),
            pump(decoders[0]) as bare,
        ):
            per_token = asyncio.run(token_rounds(gateway, bare, long, rounds))
        with cluster(workers // 2, workers - workers // 2, step_seconds) as (gateway, _):
            per_request = asyncio.run(request_rounds(gateway, brief, rounds))
    except (ServerError, OSError) as error:
        raise click.ClickException(str(error)) from error
    ratio = ratio_of(per_token)
    ours, theirs = ([pair[side] * 1e6 for pair in per_token] for side in (0, 1))
    click.echo(f"streamed token, {streams} streams: gateway {_range(ours)} us of CPU,")
    click.echo(f"  pump {_range(theirs)} us: {_told(ratio)} times (at most {TOKEN_TARGET:g})")
    took = [seconds * 1e3 for seconds in per_request]
    click.echo(
        f"request of {input_len} token ids, {workers} workers: {_range(took)} ms of CPU "
        f"(at most {REQUEST_TARGET * 1e3:g})"
    )
    held = ratio.median <= TOKEN_TARGET and median(per_request) <= REQUEST_TARGET
    sys.exit(0 if held else 1)


async def token_rounds(
    gateway: Server, bare: Server, load: Load, rounds: int
) -> list[tuple[float, float]]:
    """CPU seconds of a token in the gateway and in the pump; the two take turns."""
    found = []
    for number in range(-1, rounds):
        took: dict[str, float] = {}
        for server in (gateway, bare) if number % 2 else (bare, gateway):
            took[server.url] = await token_cost(server, load, number)
        if number >= 0:  # the first one warms both up
            found.append((took[gateway.url], took[bare.url]))
    return found


async def token_cost(server: Server, load: Load, seed: int) -> float:
    brief = Load(load.streams, load.requests, load.input_len, SHORT)
    spent = [await cost(server, one, seed) for one in (load, brief)]
    return (spent[0] - spent[1]) / (load.requests * (load.output_len - SHORT))


async def request_rounds(gateway: Server, load: Load, rounds: int) -> list[float]:
    """CPU seconds of a request; the first round is not counted."""
    spent = [await cost(gateway, load, seed) / load.requests for seed in range(rounds + 1)]
    return spent[1:]


async def cost(server: Server, load: Load, seed: int) -> float:
    """CPU seconds of all the requests. Raises ServerError when one of them failed."""
    shape = Shape("completions", load.input_len, load.output_len, IDS)
    bodies = make_bodies(shape, str(DEMO), load.requests, seed)
    before = server.cpu()
    samples = await run(server.url, bodies, shape, load.streams, _START, lambda: None)
    failed = [sample.error for sample in samples if sample.error is not None]
    if failed:
        raise ServerError(f"{len(failed)} requests failed at {server.url}: {failed[0]}")
    return server.cpu() - before


@contextmanager
def cluster(prefill: int, decode: int, step: float) -> Iterator[tuple[Server, list[str]]]:
    """A gateway that knows scripted workers, and where the decode workers are."""
    port, registry = free_port(), free_port()
    place = [f"--port={port}", f"--registry-port={registry}", "--shutdown-seconds=5"]
    script = [
        *("benchmarks.scripted_workers", f"--registry=127.0.0.1:{registry}"),
        *(f"--tokenizer={DEMO}", f"--prefill={prefill}", f"--decode={decode}"),
        f"--step-seconds={step}",
    ]
    with process(["gateway", f"--model={DEMO}", *place]) as gateway:
        server = Server(f"http://127.0.0.1:{port}", gateway.pid)
        # Before the workers, of which one may be given a port that the gateway does not have yet.
        asyncio.run(until_answers(f"{server.url}/version"))
        with process(script, stdout=subprocess.PIPE) as workers:
            assert workers.stdout is not None
            said = workers.stdout.readline()
            if not said:
                raise ServerError("the scripted workers did not start")
            asyncio.run(until_answers(f"{server.url}/health"))
            yield server, json.loads(said)["decode"]


@contextmanager
def pump(worker: str) -> Iterator[Server]:
    port = free_port()
    with process(["benchmarks.pump", f"--worker={worker}", f"--port={port}"]) as running:
        asyncio.run(until_answers(f"http://127.0.0.1:{port}/v1/completions", probe=True))
        yield Server(f"http://127.0.0.1:{port}", running.pid)


@contextmanager
def process(words: Sequence[str], stdout: int | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    argv = [sys.executable, "-m", *words, "--log-level=error"]
    with subprocess.Popen(argv, stdout=stdout) as running:
        try:
            yield running
        finally:
            running.terminate()


async def until_answers(url: str, probe: bool = False) -> None:
    """`probe`: by a request of one token."""
    wanted = {"prompt": [IDS[0]], "max_tokens": 1} if probe else None
    end = time.monotonic() + _START
    while True:
        try:
            async with request(url, wanted) as lines:
                async for _ in lines:
                    pass
            return
        except (ServerError, OSError) as error:
            if time.monotonic() > end:
                raise ServerError(f"{url} did not answer within {_START:g} s") from error
        await asyncio.sleep(0.1)


def _range(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _told(ratio: Ratio) -> str:
    return f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


if __name__ == "__main__":
    main()
