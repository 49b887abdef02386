"""Where workers go, and why one cannot go anywhere. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from baton.core.worker_info import Role

Resources = Mapping[str, float]  # Ray's names: CPU, GPU, memory, those of an operator's own


def partner_node(role: Role, placed: Iterable[tuple[Role, str]]) -> str | None:
    """The node with the most workers of the other role for each of this one, counting it in; None
    where there is no such worker. `placed`: role and node id of those that have a place.
    """
    others: Counter[str] = Counter()
    same: Counter[str] = Counter()
    for other, node in placed:
        (same if other is role else others)[node] += 1
    lacking = {node: count - same[node] for node, count in others.items() if count > same[node]}
    return max(lacking, key=lambda node: lacking[node]) if lacking else None


def why_waiting(needed: Resources, nodes: Sequence[Resources], free: Resources) -> str:
    """A sentence. `nodes`: what each living node has in all; `free`: what the cluster has left."""
    for name, amount in needed.items():
        most = max((node.get(name, 0.0) for node in nodes), default=0.0)
        if amount and not most:
            return f"it needs {amount:g} {name}, and no node of the Ray cluster has {name}"
        if amount > most:
            return f"it needs {amount:g} {name} on one node, and no node has more than {most:g}"
    for name, amount in needed.items():
        left = free.get(name, 0.0)
        if amount > left:
            total = sum(node.get(name, 0.0) for node in nodes)
            return f"it needs {amount:g} {name}, and {left:g} of {total:g} {name} are free"
    wanted = " and ".join(f"{amount:g} {name}" for name, amount in needed.items() if amount)
    return f"it needs {wanted} on one node, and no node has that free"
