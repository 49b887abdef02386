"""What a placement takes at 1,000 workers, 1,000,000 indexed strides and a prompt of 32,768 tokens.

python -m benchmarks.placement --decisions 300

The gateway's own `Workers` over clients that say what they are told to: no connection, no worker.
Before each decision some workers' loads change, as they do while requests come; what they make the
next decision do is measured with it. Tokenising and hashing are beside it. Times are those of the core that
computes, so that what else the machine does is left out.
"""

import asyncio
import gc
import random
import resource
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from baton.core.block_hashes import HASH_BLOCK
from baton.core.fingerprint import PROTOCOL_VERSION, Fingerprint
from baton.core.kv_events import KvChange
from baton.core.layout import LayoutDescriptor
from baton.core.room import Room
from baton.core.sampling_params import SamplingParams
from baton.core.worker_info import Role, WorkerInfo, WorkerLoad, WorkerState
from baton.registry.memory import InMemoryRegistry
from gateway.members.worker_client import WorkerClient
from gateway.members.workers import Wanted, Workers
from gateway.placing.refusals import Refusals
from gateway.prefixes.prompt_chain import Naming, PromptChain
from gateway.prompts.tokenizer import load_tokenizer

TARGET = 1e-3  # seconds, p99 of a decision
DEMO = Path(__file__).parent.parent / "baton" / "demo"
PROMPT = 32_768  # tokens
LAYOUT = LayoutDescriptor(32, 8, 128, HASH_BLOCK, "bfloat16")
FINGERPRINT = Fingerprint(PROTOCOL_VERSION, "m", "", "t", "bfloat16", LAYOUT, "r")
IDLE = WorkerLoad(WorkerState.READY, 0, 0, 65_536, 0, 0, 65_536, room=Room(free_blocks=65_536))


class SilentClient(WorkerClient):
    """Of a worker that does not exist, and says one load."""

    def __init__(self, *_: object) -> None:
        pass

    async def watch(self, instance_id: str) -> AsyncGenerator[WorkerLoad | KvChange, None]:
        yield IDLE
        await asyncio.Event().wait()

    def converse(self) -> None:
        pass

    async def close(self) -> None:
        pass


@click.command()
@click.option("--workers", "count", default=1000, show_default=True, type=click.IntRange(3))
@click.option("--strides", default=1_000_000, show_default=True, type=click.IntRange(1000))
@click.option("--decisions", default=300, show_default=True, help="Of each kind of prompt.")
@click.option("--changes", default=100, show_default=True, help="Loads that change in between.")
@click.option("--seed", default=1, show_default=True)
def main(count: int, strides: int, decisions: int, changes: int, seed: int) -> None:
    """Exit code 1: the p99 of a decision, of whatever kind, missed its target."""
    draw = random.Random(seed)
    met = asyncio.run(measure(count, strides, decisions, changes, draw))
    sys.exit(0 if met else 1)


async def measure(
    count: int, strides: int, decisions: int, changes: int, draw: random.Random
) -> bool:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    workers, following = await cluster(count)
    chains = {name: chain(draw) for name in ("fresh", "conversation", "hot", "ragged")}
    fill(workers, chains, strides, draw)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    index = workers.prefixes.index
    click.echo(f"{count} workers, {len(index)} strides in the index, {grown:.0f} MiB for both")
    gc.collect()
    results = {
        f"decision, {name}": decide(workers, prompt, decisions, changes, draw)
        for name, prompt in chains.items()
    }
    beside = {
        f"hashing {PROMPT} tokens": hashing(draw),
        f"tokenising about {PROMPT} tokens": times(10, tokenising()),
        **upkeep(workers, draw),
    }
    for name, taken in {**results, **beside}.items():
        click.echo(
            f"{name:40} p50 {quantile(taken, 0.5):8.3f} ms   p99 {quantile(taken, 0.99):8.3f} ms"
        )
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await workers.close()
    worst = max(quantile(taken, 0.99) for taken in results.values())
    click.echo(f"worst p99 {worst:.3f} ms; target {TARGET * 1e3:.0f} ms")
    return worst <= TARGET * 1e3


async def cluster(count: int) -> tuple[Workers, "asyncio.Task[None]"]:
    """One prefill worker for every decode worker and a half."""
    registry = InMemoryRegistry()
    workers = Workers(registry, "", connect=SilentClient)
    for number in range(count):
        role = Role.PREFILL if number % 5 < 2 else Role.DECODE
        worker_id = f"{role.value}-{number:04}"
        registry.join(
            WorkerInfo(worker_id, worker_id, role, "", "", 1, "m", 1 << 17, 65_536, FINGERPRINT)
        )
    following = asyncio.create_task(workers.run(lambda: None))
    while not (workers.usable and all(worker.load for worker in workers.usable)):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return workers, following


def chain(draw: random.Random) -> PromptChain:
    prompt = PromptChain(tuple(draw.choices(range(150_000), k=PROMPT)))
    prompt.keys(Naming(FINGERPRINT))
    return prompt


def fill(
    workers: Workers, chains: dict[str, PromptChain], strides: int, draw: random.Random
) -> None:
    """Nobody holds the fresh prompt; one of each role the conversation; all the beginning of the hot
    one, and one all of it; of the ragged one each holds another part. The rest is other prompts'.
    """
    naming = Naming(FINGERPRINT)
    keys = {name: prompt.keys(naming) for name, prompt in chains.items()}
    members = workers.usable
    talkers = {members[0].info.instance_id}
    talkers.add(next(w.info.instance_id for w in members if w.info.role is Role.DECODE))
    each = strides // len(members)
    for number, worker in enumerate(members):
        instance_id = worker.info.instance_id
        held = keys["hot"][: 16 if number != 7 else None]
        held = held + keys["ragged"][: number % 256]
        if instance_id in talkers:
            held = held + keys["conversation"]
        others = [draw.getrandbits(64) for _ in range(each)]
        workers.prefixes.hear(instance_id, KvChange(0, 0, True, stored=(*held, *others)))


def decide(
    workers: Workers, prompt: PromptChain, decisions: int, changes: int, draw: random.Random
) -> list[float]:
    refusals, members, taken = Refusals(), workers.usable, list[float]()
    wanted = Wanted(SamplingParams(max_tokens=256, seed=1))
    for _ in range(decisions):
        for worker in draw.choices(members, k=changes):
            unread = draw.randrange(40_000) if worker.info.role is Role.PREFILL else 0
            load = replace(IDLE, running=draw.randrange(64), unread_tokens=unread)
            worker._set_load(load)
        with timed(taken):
            assignment = workers.assign(prompt, refusals, wanted)
        assert assignment is not None
        assignment.give_back()
    return taken


def upkeep(workers: Workers, draw: random.Random) -> dict[str, list[float]]:
    """What a load takes to be heard, and what events, a snapshot and a worker's leave, of a thousand
    prefixes or a hundred; and one look of the garbage collector at all that there is.
    """
    book = workers.prefixes
    loads = [replace(IDLE, running=number % 64) for number in range(1000)]
    worker, left = workers.usable[0], iter(loads)
    heard = times(len(loads), lambda: worker._set_load(next(left)))
    changes, snapshots, leaves = list[float](), list[float](), list[float]()
    for number in range(100):
        new = tuple(draw.getrandbits(64) for _ in range(1000))
        with timed(snapshots):
            book.hear("new", KvChange(0, number, True, stored=new))
        with timed(changes):
            book.hear("new", KvChange(number, number + 1, stored=new[:50], removed=new[-50:]))
        with timed(leaves):
            book.drop("new")
    return {
        "a load": heard,
        "a message of 100 events": changes,
        "a snapshot of 1000 keys": snapshots,
        "a worker with 950 keys leaves": leaves,
        "the collector, once through": times(3, gc.collect),
    }


def hashing(draw: random.Random) -> list[float]:
    prompts = [tuple(draw.choices(range(150_000), k=PROMPT)) for _ in range(50)]
    naming, left = Naming(FINGERPRINT), iter(prompts)
    return times(len(prompts), lambda: PromptChain(next(left)).keys(naming))


def tokenising() -> Callable[[], object]:
    tokenizer = load_tokenizer(DEMO, "", None)
    words = "The quick brown fox jumps over the lazy dog and comes back to its den. "
    text = words * (PROMPT // len(tokenizer.ids_of(words)) + 1)
    return lambda: tokenizer.ids_of(text)


def times(count: int, act: Callable[[], object]) -> list[float]:
    taken: list[float] = []
    for _ in range(count):
        with timed(taken):
            act()
    return taken


@contextmanager
def timed(into: list[float]) -> Iterator[None]:
    """Milliseconds are added."""
    began = time.thread_time()
    yield
    into.append((time.thread_time() - began) * 1e3)


def quantile(taken: list[float], share: float) -> float:
    """Milliseconds."""
    return sorted(taken)[min(len(taken) - 1, int(share * len(taken)))]


if __name__ == "__main__":
    main()
