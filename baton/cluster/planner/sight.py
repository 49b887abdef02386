"""What the gateway's pages say, as a planner sees it. Pure.

Of several gateways one is read: workers' counts are of all requests, the times to first token of its own.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from baton.cluster.orchestrator import RunWorker, Stage
from baton.cluster.planner.observation import Costs, Observation, SeenWorker, Times
from baton.core.step_totals import NO_TOTALS, StepSums, StepTotals
from baton.core.worker_info import ANSWERING, Role, WorkerState

FIRST, NEXT = "vllm:time_to_first_token_seconds", "vllm:inter_token_latency_seconds"


def observation(
    at: float, status: Mapping[str, Any], metrics: str, own: Sequence[RunWorker] = ()
) -> Observation:
    """`status` is GET /status, `metrics` GET /metrics; `own` are an orchestrator's workers: of those
    the gateway does not know all that are being started. Who encodes images is left out: no plan is
    made for them.
    """
    times = _times(metrics)
    workers = [_seen(worker) for worker in answering(status)]
    known = {worker.worker_id for worker in workers}
    leaving = {worker.worker_id for worker in own if worker.stage is Stage.DRAINING}
    starting = [
        _starting(worker)
        for worker in own
        if worker.role in ANSWERING and worker.worker_id not in known | leaving
    ]
    stays = [worker for worker in workers if worker.worker_id not in leaving]
    return Observation(at, (*stays, *starting), int(status.get("queued", 0)), *times)


def roles_now(status: Mapping[str, Any]) -> dict[str, Role]:
    """By worker id."""
    return {str(worker["id"]): Role(worker["role"]) for worker in answering(status)}


def answering(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The workers that read prompts or write answers."""
    return [worker for worker in status["workers"] if Role(worker["role"]) in ANSWERING]


def _seen(worker: Mapping[str, Any]) -> SeenWorker:
    next_role = worker.get("next_role")
    ready = worker.get("state") == WorkerState.READY.value
    total, free = worker.get("total_blocks") or 0, worker.get("free_blocks") or 0
    waiting = worker.get("waiting") or 0
    costs = worker.get("costs")
    return SeenWorker(
        worker_id=str(worker["id"]),
        role=Role(next_role or worker["role"]),
        address=str(worker["address"]),
        serves=ready or next_role is not None,
        busy=(worker.get("running") or 0) + waiting,
        waiting=waiting,
        unread_tokens=worker.get("unread_tokens") or 0,
        used_blocks=total - free,
        total_blocks=total,
        process=int(worker.get("pid") or 0),
        steps=_steps(worker.get("steps")),
        costs=None if costs is None else Costs(**costs),
    )


def _starting(worker: RunWorker) -> SeenWorker:
    """Not a member yet, or not any more and about to be again."""
    return SeenWorker(worker.worker_id, worker.role, "", serves=True)


def _steps(said: Mapping[str, Any] | None) -> StepTotals:
    if said is None:
        return NO_TOTALS
    return StepTotals(StepSums(**said["writing"]), StepSums(**said["reading"]))


def _times(metrics: str) -> tuple[Times, Times]:
    families = {family.name: family for family in text_string_to_metric_families(metrics)}
    first, following = (families.get(name) for name in (FIRST, NEXT))
    return (
        _buckets(first.samples if first else ()),
        _buckets(following.samples if following else ()),
    )


def _buckets(samples: Iterable[Any]) -> Times:
    """Of all series together."""
    counts: dict[float, float] = {}
    for sample in samples:
        if sample.name.endswith("_bucket"):
            bound = float(sample.labels["le"])
            counts[bound] = counts.get(bound, 0.0) + sample.value
    if math.inf not in counts:
        return Times()
    return Times(tuple(sorted(counts)), tuple(counts[bound] for bound in sorted(counts)))
