"""What a planner would do with a running cluster, told look by look; nothing is done."""

import asyncio
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from baton.cluster.planner.driver import Pages
from baton.cluster.planner.goals import Goals, Limits, Pace
from baton.cluster.planner.planner import Plan, Planner
from baton.cluster.planner.sight import answering, observation
from baton.cluster.planner.size import Size
from baton.core.worker_info import Role


async def watch(
    pages: Pages,
    goals: Goals,
    most_workers: int | None,
    seconds: float,
    looks: int | None,
    say: Callable[[str], None],
) -> None:
    """`looks` None: until cancelled. Raises UnavailableError when the gateway does not answer."""
    planner: Planner | None = None
    for number in count(1):
        status = await asyncio.to_thread(pages.status)
        metrics = await asyncio.to_thread(pages.metrics)
        if planner is None:
            pace = Pace(longest_gap=12 * seconds, flip_after=2 * seconds, settle=2 * seconds)
            planner = Planner(goals, limits_of(status, most_workers), pace)
        for line in told(planner.decide(observation(time.monotonic(), status, metrics))):
            say(line)
        if number == looks:
            return
        await asyncio.sleep(seconds)


def limits_of(status: Mapping[str, Any], most_workers: int | None) -> Limits:
    """At least one of each role that is there, and without other word no more than are there."""
    roles = [Role(worker["role"]) for worker in answering(status)]
    most = max(1, len(roles)) if most_workers is None else most_workers
    return Limits(Size(min(1, roles.count(Role.PREFILL)), 1), Size(most, most), most)


def told(plan: Plan) -> list[str]:
    actions = [f"-> {action}" for action in plan.actions] or ["-> nothing is to be done"]
    return [*plan.reasons, *actions]
