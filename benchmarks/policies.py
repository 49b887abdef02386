"""Placement by predicted cost against the simple policies, simulated: goodput over a sweep of load.

python -m benchmarks.policies --mooncake conversation_trace.jsonl --azure AzureLLMInferenceTrace_conv.csv

Each trace is sent at 0.3 to 1.5 of what the cluster could do if nobody ever waited and every prefix
that came before was cached. Files are split in the middle: the first half may be tuned with, the
second is held out. `unseen` is a profile that nothing was tuned with: another balance of its parts,
a slow link, and workers of unequal speed. A point's ratio is the goodput of auto by that of the best
simple policy at this point, whichever it is. Where that has nearly all, nobody can have 1.1 of it: shared
prefixes are judged at the other points.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import median

import click

from baton.cluster.outcomes import Objectives, summarise
from baton.cluster.simulator.profile import Profile, read_profile
from baton.cluster.simulator.prompt import TracePrompt
from baton.cluster.simulator.simulation import Cluster, simulate
from baton.cluster.traces import Trace, load_trace
from baton.core.kv_events import stride_of
from gateway.placing.policies import AUTO, POLICIES

LOADS = (0.3, 0.6, 0.9, 1.2, 1.5)
FLOOR, SHARED = 0.98, 1.1  # of the best simple policy: everywhere, and where prefixes are shared
MADE_UP = {
    "poisson": "poisson:rate=5,in=2000,out=200,spread=0.8",
    "bursts": "bursts:rate=3,peak=4,in=2000,out=200,spread=0.8",
    "shared-prefix": "shared-prefix:rate=5,prefixes=24,prefix=8000,in=500,out=200,spread=0.8,skew=0.7",
    "multi-turn": "multi-turn:rate=1,turns=5,think=8,system=1000,in=800,out=250,spread=0.8",
}


@dataclass(frozen=True, slots=True)
class Point:
    trace: str
    profile: str
    load: float
    good: dict[str, float]  # share of requests, by policy

    @property
    def best(self) -> tuple[str, float]:
        return max(((n, g) for n, g in self.good.items() if n != AUTO), key=lambda pair: pair[1])

    @property
    def ratio(self) -> float:
        return self.good[AUTO] / self.best[1] if self.best[1] else 1.0


@click.command()
@click.option("--mooncake", help="A trace of Mooncake's.")
@click.option("--azure", help="A trace of Azure's.")
@click.option("--prefill", default=4, show_default=True)
@click.option("--decode", default=8, show_default=True)
@click.option("--requests", default=800, show_default=True, help="Of a trace, at each point.")
@click.option("--load", "loads", multiple=True, type=float, default=LOADS, show_default=True)
@click.option("--trace", "only", multiple=True, help="Only these.")
@click.option(
    "--profile", "profiles", multiple=True, default=("known", "unseen"), show_default=True
)
@click.option("--seed", default=1, show_default=True)
def main(
    mooncake: str | None,
    azure: str | None,
    prefill: int,
    decode: int,
    requests: int,
    loads: tuple[float, ...],
    only: tuple[str, ...],
    profiles: tuple[str, ...],
    seed: int,
) -> None:
    """Exit code 1: a point is below its floor."""
    points: list[Point] = []
    click.echo(f"{'trace':26} {'profile':8} load  auto   best simple           auto/best")
    known = read_profile("llama-8b-h100")
    kinds = {"known": known, "unseen": unseen(known)}
    for name, trace in traces(mooncake, azure, requests, seed):
        if only and not any(name.startswith(one) for one in only):
            continue
        for kind in profiles:
            cluster = Cluster(prefill, decode, kinds[kind])
            for load in loads:
                points.append(measured(name, trace, kind, cluster, load, seed))
                show(points[-1])
    sys.exit(0 if verdict(points) else 1)


def traces(
    mooncake: str | None, azure: str | None, requests: int, seed: int
) -> Iterator[tuple[str, Trace]]:
    for name, path in (("mooncake", mooncake), ("azure", azure)):
        if path:
            whole = load_trace(path, seed)
            half = whole.seconds / 2
            yield f"{name}, tuning", whole.first(requests)
            yield f"{name}, held out", whole.between(half, 2 * half).first(requests)
    for name, spec in MADE_UP.items():
        yield name, load_trace(f"{spec},seconds={requests}", seed).first(requests)


def unseen(known: Profile) -> Profile:
    return replace(
        known,
        read_step=0.012,
        read_token=1.5e-5,
        read_pair=4e-9,
        write_step=0.018,
        write_sequence=1e-4,
        write_context=3e-8,
        link_seconds=0.01,
        link_bytes_per_second=4e9,
        num_blocks=known.num_blocks // 2,
        max_num_seqs=64,
        step_noise=0.2,
        worker_noise=0.2,
    )


def measured(name: str, trace: Trace, kind: str, cluster: Cluster, load: float, seed: int) -> Point:
    objectives = bearable(trace, cluster.profile)
    rate = load * capacity(trace, cluster) / (len(trace.requests) / trace.seconds)
    good = {}
    for policy in POLICIES:
        sent = trace.scaled(rate)
        outcomes = simulate(sent, replace(cluster, policy=policy), objectives, seed).outcomes
        good[policy] = summarise(outcomes, objectives).good_share
    return Point(name, kind, load, good)


def bearable(trace: Trace, profile: Profile) -> Objectives:
    """What a user may still call quick: a few times what it takes alone."""
    tokens = median(one.input_tokens for one in trace.requests)
    return Objectives(
        ttft=0.3 + 4 * profile.reads(round(tokens), 0),
        itl=3 * profile.writes(profile.max_num_seqs // 4, profile.max_num_seqs // 4 * tokens),
    )


def capacity(trace: Trace, cluster: Cluster) -> float:
    """Requests per second: each role at work all the time, decode in batches half full."""
    profile = cluster.profile
    stride = stride_of(profile.block_size)
    seen: set[int] = set()
    reading = tokens = context = 0.0
    for one in trace.requests:
        keys = TracePrompt(one.pieces, "", stride).strides
        cached = next((at for at, key in enumerate(keys) if key not in seen), len(keys)) * stride
        seen.update(keys)
        reading += profile.reads(one.input_tokens - cached, cached)
        tokens += one.output_tokens
        context += one.output_tokens * (one.input_tokens + one.output_tokens / 2)
    room = profile.num_blocks * profile.block_size
    mean = context / tokens
    batch = max(1, min(profile.max_num_seqs, round(room / mean)) // 2)
    writing = tokens * profile.writes(batch, batch * mean) / batch
    return len(trace.requests) / max(reading / cluster.prefill, writing / cluster.decode)


def show(point: Point) -> None:
    name, good = point.best
    others = ", ".join(f"{n} {g:.3f}" for n, g in point.good.items() if n not in (AUTO, name))
    click.echo(
        f"{point.trace:26} {point.profile:8} {point.load:.1f}   {point.good[AUTO]:.3f}  "
        f"{name:13} {good:.3f}   {point.ratio:.3f}   ({others})"
    )


def verdict(points: list[Point]) -> bool:
    worst = min(points, key=lambda point: point.ratio)
    click.echo(
        f"worst of {len(points)} points: {worst.ratio:.3f} ({worst.trace}, {worst.profile}, load "
        f"{worst.load}); never below {FLOOR} is wanted"
    )
    met = worst.ratio >= FLOOR
    shared = [point for point in points if point.trace == "shared-prefix"]
    gainful = [point.ratio for point in shared if point.best[1] * SHARED <= 1]
    if shared:
        click.echo(
            f"shared-prefix: at {len(shared) - len(gainful)} of {len(shared)} points the best simple policy "
            f"has more than {1 / SHARED:.3f}, so that nobody could have {SHARED} of it"
        )
    if gainful:
        click.echo(
            f"at the others: {min(gainful):.3f} to {max(gainful):.3f}, median {median(gainful):.3f}; "
            f"{SHARED} is wanted at each"
        )
        met &= min(gainful) >= SHARED
    return met


if __name__ == "__main__":
    main()
