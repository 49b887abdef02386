"""A cluster whose gateway is here and whose workers are in Ray."""

import time
from dataclasses import replace

import ray

from baton.cluster.launch import Launch
from baton.cluster.ray.orchestrator import RayOrchestrator
from baton.cluster.ray.plan import RayPlan, own_cpus
from baton.cluster.ray.runtime import ray_runtime


async def run_in_ray(launch: Launch) -> None:
    """As `Supervisor.run`. Raises SettingsError when there is no such Ray cluster."""
    settings = launch.plan.settings
    began = time.monotonic()
    async with ray_runtime(settings.ray, own_cpus(settings, launch.plan.cores)) as runtime:
        launch = replace(launch, plan=replace(launch.plan, registry_host=runtime.node_ip))
        resources = await runtime.call(ray.cluster_resources)
        launch.voices.say(
            f"{'joined a Ray cluster' if runtime.joined else 'started a Ray of its own'}: "
            f"{resources.get('CPU', 0):g} CPU, {resources.get('GPU', 0):g} GPU "
            f"({time.monotonic() - began:.1f} s)"
        )
        plan = RayPlan(launch.plan, runtime.joined, bool(resources.get("GPU")))
        told = (launch.voices, launch.hurry, launch.patience, launch.tell_to_drain)
        await launch.run(RayOrchestrator(plan, runtime, *told))
