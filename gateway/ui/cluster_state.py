"""What a gateway knows of its cluster, as JSON: the same for the status page, `baton top` and GET
/status. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from gateway.members.worker import Worker
from gateway.models.served_model import ServedModel
from gateway.placing.link_traffic import LinkTotals
from gateway.placing.speed_model import Speed
from gateway.telemetry.recent_requests import PriorityCount
from gateway.ui.throughput import TokenRates

NO_RATES: Mapping[str, TokenRates] = {}


def model_status(model: ServedModel) -> dict[str, object]:
    """`max_model_len` is null before a worker of it was met."""
    return {
        "name": model.names.first,
        "names": list(model.names.all),
        "root": model.names.root,
        "max_model_len": model.workers.max_model_len,
        "takes_requests": model.workers.can_answer,
        "queued": model.dispatcher.queued,
    }


def worker_status(
    worker: Worker, model: str, rates: Mapping[str, TokenRates] = NO_RATES
) -> dict[str, object]:
    """`served_model` is the name of the model whose requests it may get, null while it gets none. `state` is the worker's own, or `unusable`, or `unreachable`; numbers may be null. `next_role`
    is what a worker drains for, `steps` what its engine has done since its process began, `costs`
    what a step of writing and a token that waits to be read take there.
    """
    info, load = worker.info, worker.load
    rate = rates.get(info.instance_id)
    return {
        "id": info.worker_id,
        "role": info.role.value,
        "state": _state(worker),
        "next_role": load.next_role.value if load and load.next_role else None,
        "reason": worker.unusable,
        "pid": info.pid,
        "restarts": worker.restarts,
        "flips": info.flips,
        "address": info.address,
        "metrics_url": info.metrics_url,
        "model": info.model,
        "served_model": None if worker.unusable is not None else model,
        "labels": dict(info.labels),
        "running": load.running if load else None,
        "waiting": load.waiting if load else None,
        "unread_tokens": load.unread_tokens if load else None,
        "read_per_second": round(rate.read, 1) if rate else None,
        "written_per_second": round(rate.written, 1) if rate else None,
        "kv_usage": load.kv_usage if load else None,
        "free_blocks": load.free_blocks if load else None,
        "total_blocks": load.total_blocks if load else None,
        "leased_blocks": load.leased_blocks if load else None,
        "reserved_blocks": load.reserved_blocks if load else None,
        "steps": asdict(load.steps) if load else None,
        "costs": _costs(worker.candidate.speed),
    }


def _costs(speed: Speed) -> dict[str, float]:
    """Seconds, as far as they are learned."""
    return {
        "step": speed.step,
        "sequence": speed.sequence,
        "context": speed.context,
        "unread_token": speed.per_token,
    }


def link_status(
    links: Iterable[LinkTotals], workers: Sequence[Worker], now: float
) -> list[dict[str, object]]:
    """Of those whose two ends are members, by the names of these."""
    names = {worker.info.instance_id: worker.info.worker_id for worker in workers}
    known = [link for link in links if link.source in names and link.target in names]
    told: list[dict[str, object]] = [
        {
            "from": names[link.source],
            "to": names[link.target],
            "transport": link.transport,
            "bytes_per_second": round(link.rate(now)),
            "bytes": link.bytes,
            "transfers": link.transfers,
            "exposed_ms": None if link.exposed is None else round(1000 * link.exposed, 1),
        }
        for link in known
    ]
    return sorted(told, key=lambda link: (str(link["from"]), str(link["to"])))


def priority_status(counts: Iterable[PriorityCount]) -> list[dict[str, int]]:
    return [
        {"priority": one.priority, "queued": one.queued, "running": one.running} for one in counts
    ]


def _state(worker: Worker) -> str:
    if worker.unusable is not None:
        return "unusable"
    return worker.load.state.value if worker.load else "unreachable"
