"""A whole run: a trace against so many workers, from the first request to the last answer."""

import asyncio
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from baton.cluster.outcomes import Objectives, Outcome
from baton.cluster.simulator.client import connecting
from baton.cluster.simulator.profile import Profile
from baton.cluster.simulator.prompt import TracePrompt
from baton.cluster.simulator.request import Gateway, Request
from baton.cluster.simulator.tenant import EVERYBODY, SimulatedTenant
from baton.cluster.simulator.virtual_time import run_virtually
from baton.cluster.simulator.worker import SimulatedWorker
from baton.cluster.traces import Trace
from baton.cluster.traces.tenancy import shared_out
from baton.core.errors import SettingsError
from baton.core.worker_info import Role
from baton.registry.commons import LocalCommons
from baton.registry.memory import InMemoryRegistry
from baton.telemetry.instruments import Instruments
from gateway import metric_families
from gateway.members.assignment import Assignment
from gateway.members.workers import Workers
from gateway.placing import objectives as gateway_objectives
from gateway.placing.policies import policy_of
from gateway.serving.queue import AdmissionQueue
from gateway.tenants.metrics import TenantMetrics, TenantNames
from gateway.tenants.visit import Desk

SETTLED = 1.0  # seconds until the gateway has heard of every worker; then the trace begins


@dataclass(frozen=True, slots=True)
class Cluster:
    prefill: int
    decode: int
    profile: Profile
    policy: str = "auto"
    max_queued: int = 1000
    max_queue_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Simulated:
    outcomes: Sequence[Outcome]
    drifts: int  # beliefs of the prefix index that no event explains
    whole: bool = True  # False: it was broken off


@dataclass(frozen=True, slots=True)
class Load:
    trace: Trace
    whose: Sequence[SimulatedTenant]  # each of its requests


class _TooManyMissed(Exception):
    """The run is broken off."""


def simulate(
    trace: Trace,
    cluster: Cluster,
    objectives: Objectives,
    seed: int,
    most_missed: float = math.inf,
    tenants: Sequence[SimulatedTenant] = (EVERYBODY,),
) -> Simulated:
    """Equal arguments, equal results. Raises SettingsError for a trace that cannot fit. Broken off
    once more than `most_missed` requests have missed the objectives.
    """
    _check_room(trace, cluster.profile)
    return run_virtually(_simulated(trace, cluster, objectives, seed, most_missed, tenants))


async def _simulated(
    trace: Trace,
    cluster: Cluster,
    objectives: Objectives,
    seed: int,
    most_missed: float,
    tenants: Sequence[SimulatedTenant],
) -> Simulated:
    made = _workers(cluster, seed)
    registry = InMemoryRegistry()
    policy = policy_of(cluster.policy, random.Random(f"policy/{seed}"))
    by_address = {one.info.address: one for one in made}
    commons = LocalCommons(time.monotonic)
    workers = Workers(registry, "", None, connecting(by_address), policy, commons=commons)
    metrics = TenantMetrics(Instruments("simulated", metric_families.COUNTED), TenantNames())
    queue: AdmissionQueue[Assignment] = AdmissionQueue(
        cluster.max_queued, cluster.max_queue_seconds, Assignment.give_back
    )
    for one in made:
        registry.join(one.info)
    following = asyncio.create_task(workers.run(queue.pump))
    await asyncio.sleep(SETTLED)
    gateway = Gateway(
        workers, queue, Desk(commons, metrics), {one.info.instance_id: one for one in made}
    )
    outcomes: list[Outcome] = []
    whole = True
    load = Load(trace, shared_out(trace.requests, tenants, seed))
    try:
        await _all_of(load, gateway, objectives, most_missed, outcomes)
    except* _TooManyMissed:
        whole = False
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await workers.close()
    return Simulated(outcomes, workers.prefixes.audit.drifts.total(), whole)


async def _all_of(
    load: Load,
    gateway: Gateway,
    objectives: Objectives,
    most_missed: float,
    outcomes: list[Outcome],
) -> None:
    """Adds to `outcomes`. Raises _TooManyMissed, in a group."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    stride = next(iter(gateway.simulated.values())).stride
    limits = _limits(objectives)
    missed = 0

    async def run(request: Request, outcome: Outcome) -> None:
        nonlocal missed
        await request.run()
        missed += not outcome.meets(objectives)
        if missed > most_missed:
            raise _TooManyMissed

    async with asyncio.TaskGroup() as group:
        for number, (one, tenant) in enumerate(zip(load.trace.requests, load.whose, strict=True)):
            await asyncio.sleep(begin + one.at - loop.time())
            outcome = Outcome(tenant.name, one.at, one.input_tokens)
            outcomes.append(outcome)
            prompt = TracePrompt(one.pieces, tenant.known.root, stride)
            visit = gateway.desk.visit(tenant.known)
            request = Request(
                *(gateway, number, prompt, one.output_tokens, limits),
                *(visit, tenant.priority, outcome, begin),
            )
            group.create_task(run(request, outcome))


def _limits(objectives: Objectives) -> gateway_objectives.Objectives:
    none = gateway_objectives.NONE
    ttft = none.ttft if objectives.ttft is None else objectives.ttft
    return gateway_objectives.Objectives(
        ttft, none.itl if objectives.itl is None else objectives.itl
    )


def _workers(cluster: Cluster, seed: int) -> list[SimulatedWorker]:
    return [
        SimulatedWorker(role, n, cluster.profile, random.Random(f"{role.value}/{n}/{seed}"))
        for role, count in ((Role.PREFILL, cluster.prefill), (Role.DECODE, cluster.decode))
        for n in range(count)
    ]


def _check_room(trace: Trace, profile: Profile) -> None:
    room = profile.num_blocks * profile.block_size
    longest = trace.longest
    tokens = longest.input_tokens + longest.output_tokens
    if tokens + 2 * profile.block_size > room:
        raise SettingsError(
            f"a request of {longest.input_tokens} + {longest.output_tokens} tokens does not fit in "
            f"the {room} that a worker of this profile has: shorten all with --length-scale"
        )
