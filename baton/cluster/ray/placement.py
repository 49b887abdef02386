"""One worker's place in the Ray cluster, and its actor there. All of it blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
import ray.util
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from baton.cluster.ray.placing import Resources
from baton.cluster.ray.runtime import group_prefix
from baton.cluster.ray.worker_actor import WorkerActor
from baton.core.handoff import new_id
from baton.core.worker_info import Role
from baton.worker.settings import WorkerSettings

_WAITING = ("PENDING", "RESCHEDULING")
_CALLS = 4  # hello, beginning, end and stop may run side by side
_TO_BE_PLACED = 0.5  # seconds; a place that is free is given within milliseconds
_OPTIONS = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}  # what else there is: custom


class NameTakenError(Exception):
    """Ray has not forgotten the last actor of this name yet."""


@dataclass(frozen=True, slots=True)
class Placed:
    """It has a place, or waits for one. `actor` is Ray's handle of a `WorkerActor`."""

    group: Any
    actor: Any


@dataclass(frozen=True, slots=True)
class Nodes:
    """The living ones by their ids, and what is left in the cluster."""

    addresses: dict[str, str]
    totals: dict[str, Resources]  # what each has in all
    free: Resources


def place(
    role: Role, settings: WorkerSettings, needed: Resources, namespace: str, beside: str | None
) -> Placed:
    """`beside`: a node to be preferred. Both are detached, so that nobody's end but an order ends
    them. Raises NameTakenError.
    """
    group = ray.util.placement_group(
        [{name: amount for name, amount in needed.items() if amount}],
        strategy="STRICT_PACK",
        name=f"{group_prefix(namespace)}{settings.worker_id}/{new_id()[:8]}",
        lifetime="detached",
        _soft_target_node_id=beside,
    )
    options: dict[str, Any] = {"num_cpus": 0, "resources": {}}
    for name, amount in needed.items():
        if name in _OPTIONS:
            options[_OPTIONS[name]] = amount
        elif amount:
            options["resources"][name] = amount
    actor: Any = ray.remote(WorkerActor)
    try:
        handle = actor.options(
            name=settings.worker_id,
            lifetime="detached",
            max_restarts=-1,
            max_concurrency=_CALLS,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, 0),
            **options,
        ).remote(role.value, settings)
    except ValueError as error:
        ray.util.remove_placement_group(group)
        raise NameTakenError(settings.worker_id) from error
    return Placed(group, handle)


def remove(placed: Placed) -> None:
    """Ends the actor on the spot, and gives its place back."""
    ray.kill(placed.actor)
    ray.util.remove_placement_group(placed.group)


def begin_again(placed: Placed) -> None:
    """Ends its process; Ray starts another one."""
    ray.kill(placed.actor, no_restart=False)


def node_of(placed: Placed) -> str | None:
    """The id of its node; None where it waits for one, for longer than it takes to get it."""
    placed.group.wait(_TO_BE_PLACED)
    told = ray.util.placement_group_table(placed.group)
    return told["bundles_to_node_id"][0] or None


def waiting(groups: Sequence[Placed]) -> list[bool]:
    """Which of them have no place."""
    tables = [ray.util.placement_group_table(placed.group) for placed in groups]
    return [table["state"] in _WAITING for table in tables]


def living_nodes() -> Nodes:
    living = [node for node in ray.nodes() if node["Alive"]]
    addresses = {node["NodeID"]: node["NodeManagerAddress"] for node in living}
    totals = {node["NodeID"]: node["Resources"] for node in living}
    return Nodes(addresses, totals, ray.available_resources())
