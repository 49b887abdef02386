"""Which workers of a cluster cannot be used together with the rest, and why."""

from collections.abc import Iterable

from baton.core.embeddings import embeddings_fingerprint, encodes_for
from baton.core.worker_info import Role, WorkerInfo


def unusable(members: Iterable[WorkerInfo], model_digest: str | None = None) -> dict[str, str]:
    """instance id -> a sentence. A worker that is merely waiting for a partner is not in it.

    `model_digest` None: which weights are served is not settled yet.
    """
    reasons: dict[str, str] = {}
    fitting: list[WorkerInfo] = []
    for info in members:
        if info.fingerprint.model_digest != (model_digest or info.fingerprint.model_digest):
            reasons[info.instance_id] = (
                "its model is not the one that this gateway serves, which is that of the first "
                "worker it has met; name it in --models-file, or start a gateway of its own for it"
            )
        else:
            fitting.append(info)
    answering = [info for info in fitting if info.role is not Role.ENCODE]
    for info in fitting:
        reason = (_no_reader if info.role is Role.ENCODE else _no_partner)(info, answering)
        if reason is not None:
            reasons[info.instance_id] = reason
    return reasons


def _no_partner(info: WorkerInfo, others: list[WorkerInfo]) -> str | None:
    opposite = [other for other in others if other.role is not info.role]
    if any(other.fingerprint == info.fingerprint for other in opposite) or not opposite:
        return None
    difference = info.fingerprint.difference(opposite[0].fingerprint)
    return f"no {opposite[0].role.value} worker can exchange KV caches with it: {difference}"


def _no_reader(encoder: WorkerInfo, answering: list[WorkerInfo]) -> str | None:
    """Each of them may read prompts."""
    prints = [info.fingerprint for info in answering]
    if any(encodes_for(encoder.fingerprint, known) for known in prints) or not prints:
        return None
    wanted = embeddings_fingerprint(prints[0], 2 * encoder.fingerprint.layout.head_dim)
    return f"nobody can take embeddings from it: {encoder.fingerprint.difference(wanted)}"
