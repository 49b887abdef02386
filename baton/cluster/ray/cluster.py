"""A cluster whose gateway is here and whose workers are in Ray."""

import asyncio
import time
from dataclasses import replace

import ray

from baton.cluster.keeper import Patience, Voices
from baton.cluster.kept_workers import TellToDrain
from baton.cluster.launch_plan import LaunchPlan
from baton.cluster.ray.orchestrator import RayOrchestrator
from baton.cluster.ray.plan import RayPlan, own_cpus
from baton.cluster.ray.runtime import ray_runtime
from baton.cluster.supervisor import Attend, Scraper, Supervisor


async def run_in_ray(
    launch: LaunchPlan,
    voices: Voices,
    hurry: asyncio.Event,
    patience: Patience,
    tell_to_drain: TellToDrain,
    scraper: Scraper | None,
    attend: Attend | None,
) -> None:
    """As `Supervisor.run`. Raises SettingsError when there is no such Ray cluster."""
    settings = launch.settings.ray
    began = time.monotonic()
    async with ray_runtime(settings, own_cpus(launch.settings, launch.cores)) as runtime:
        launch = replace(launch, registry_host=runtime.node_ip)
        resources = await runtime.call(ray.cluster_resources)
        voices.say(
            f"{'joined a Ray cluster' if runtime.joined else 'started a Ray of its own'}: "
            f"{resources.get('CPU', 0):g} CPU, {resources.get('GPU', 0):g} GPU "
            f"({time.monotonic() - began:.1f} s)"
        )
        plan = RayPlan(launch, runtime.joined, bool(resources.get("GPU")))
        workers = RayOrchestrator(plan, runtime, voices, hurry, patience, tell_to_drain)
        await Supervisor(launch, workers, voices, hurry, patience, scraper, attend).run()
