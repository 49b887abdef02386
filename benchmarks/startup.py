"""How long `baton up` takes to answer, against the imports that nobody can do without.

python -m benchmarks.startup --rounds 7
"""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click

from benchmarks.measures import Ratio, ratio_of

POLL = 0.02  # seconds between two looks at /health
LONGEST = 600.0  # seconds for one start
_IMPORTS = "import torch, transformers"


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds since `baton up` was typed."""

    healthy: float  # GET /health was 200
    whole: float  # it invited: every worker was ready
    answered: float  # the first piece of a streamed answer, asked for as soon as it had invited


class StartError(Exception):
    """`baton up` did not get there; says what it said."""


@click.command()
@click.option(
    "--model",
    type=click.Path(exists=True, path_type=Path),
    help="Its folder; left out: the demo model.",
)
@click.option("--prefill-workers", default=1, show_default=True, type=click.IntRange(0))
@click.option("--decode-workers", default=1, show_default=True, type=click.IntRange(1))
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
def main(model: Path | None, prefill_workers: int, decode_workers: int, rounds: int) -> None:
    """Rounds take turns in what goes first; one more round before them is not measured."""
    workers = prefill_workers + decode_workers
    words = [f"--model={model}"] if model else []
    words += [f"--prefill-workers={prefill_workers}", f"--decode-workers={decode_workers}"]
    pairs: list[tuple[Start, float]] = []
    try:
        for number in range(rounds + 1):
            start, imports = one_round(words, workers, number % 2 == 0)
            if number:
                pairs.append((start, imports))
                click.echo(
                    f"round {number}/{rounds}  imports {imports:.2f} s  "
                    f"/health {start.healthy:.2f} s  all ready {start.whole:.2f} s  "
                    f"first token {start.answered:.2f} s"
                )
    except StartError as error:
        raise click.ClickException(str(error)) from error
    against = f"`{_IMPORTS}`, {workers} side by side"
    healthy = ratio_of([(start.healthy, imports) for start, imports in pairs])
    whole = ratio_of([(start.whole, imports) for start, imports in pairs])
    click.echo(f"/health 200 / ({against}): {shown(healthy)}")
    answered = ratio_of([(start.answered, imports) for start, imports in pairs])
    click.echo(f"all ready   / ({against}): {shown(whole)}")
    click.echo(f"first token / ({against}): {shown(answered)}")
    times = sorted(start.answered for start, _ in pairs)
    click.echo(f"first token: {median(times):.2f} s ({times[0]:.2f} to {times[-1]:.2f} s)")


def one_round(words: list[str], workers: int, up_first: bool) -> tuple[Start, float]:
    if up_first:
        return start_up(words), import_side_by_side(workers)
    imports = import_side_by_side(workers)
    return start_up(words), imports


def import_side_by_side(count: int) -> float:
    """Seconds until the last of so many processes has imported what every worker must."""
    began = time.monotonic()
    importing = [subprocess.Popen([sys.executable, "-c", _IMPORTS]) for _ in range(count)]
    codes = [process.wait() for process in importing]
    if any(codes):
        raise StartError(f"{_IMPORTS} failed")
    return time.monotonic() - began


def start_up(words: list[str]) -> Start:
    """One `baton up`, from the command to its end by Ctrl-C."""
    began = time.monotonic()
    argv = [sys.executable, "-m", "baton.cluster.entry", "up", "--port=0"]
    with subprocess.Popen([*argv, *words], stdout=subprocess.PIPE, text=True) as up:
        try:
            url = _line_with(up, "gateway ready at ").split()[3]
            healthy = _until_healthy(url) - began
            _line_with(up, "endpoint: ")
            whole = time.monotonic() - began
            return Start(healthy, whole, _until_answered(url) - began)
        finally:
            up.send_signal(signal.SIGINT)
            up.communicate()


def _line_with(up: "subprocess.Popen[str]", start: str) -> str:
    said: list[str] = []
    assert up.stdout is not None
    for line in up.stdout:
        said.append(line)
        if line.startswith(start):
            return line
    raise StartError(f"baton up ended before it said {start!r}:\n{''.join(said)}")


def _until_healthy(url: str) -> float:
    """When it was, on the monotonic clock."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    began = time.monotonic()
    while time.monotonic() - began < LONGEST:
        try:
            with direct.open(f"{url}/health", timeout=5):
                return time.monotonic()
        except urllib.error.HTTPError as error:  # 503: no worker yet
            error.close()
            time.sleep(POLL)
    raise StartError(f"{url}/health was not 200 after {LONGEST:g} s")


def _until_answered(url: str) -> float:
    """When the first text of a streamed answer came, on the monotonic clock."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    question = {"role": "user", "content": "What is the capital of France?"}
    body = json.dumps({"messages": [question], "max_tokens": 32, "stream": True}).encode()
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", body, {"Content-Type": "application/json"}
    )
    first: float | None = None
    with direct.open(request, timeout=LONGEST) as answer:
        for line in answer:  # to the end: nothing is to be running when it is stopped
            data = line.decode().removeprefix("data: ").strip()
            if data and data != "[DONE]":
                choices = json.loads(data)["choices"]
                if first is None and choices and choices[0]["delta"].get("content"):
                    first = time.monotonic()
    if first is None:
        raise StartError(f"{url} answered without a word")
    return first


def shown(ratio: Ratio) -> str:
    rounds = f"{ratio.rounds} rounds"
    return f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f}, {rounds})"


if __name__ == "__main__":
    main()
