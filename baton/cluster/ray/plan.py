"""Which workers a cluster in Ray has at first, what each takes of a node, and what it is told. Pure."""

from dataclasses import dataclass, replace

from baton.cluster.launch_plan import LaunchPlan
from baton.cluster.ray.placing import Resources
from baton.cluster.up_settings import UpSettings
from baton.core.worker_info import Role
from baton.engine.machine.device_name import CUDA, device_name
from baton.worker.settings import WorkerSettings


@dataclass(frozen=True, slots=True)
class RayPlan:
    launch: LaunchPlan
    joined: bool  # a Ray that is not ours alone, with other machines in it perhaps
    has_gpus: bool  # somewhere in it

    def first(self) -> dict[str, Role]:
        return dict(self.launch.workers())

    def needed(self, role: Role) -> Resources:
        """By one worker of the role."""
        named = {
            Role.PREFILL: self.settings.ray.ray_prefill_resources,
            Role.DECODE: self.settings.ray.ray_decode_resources,
        }[role]
        if named is not None:
            return {name: float(amount) for name, amount in named.items()}
        needed = {"CPU": float(threads_of(self.launch, self.joined))}
        device = self.settings.worker.device
        if self.has_gpus and (device == "auto" or device_name(device).kind == CUDA):
            needed["GPU"] = 1.0
        return needed

    def worker(self, worker_id: str, role: Role, registry: str) -> WorkerSettings:
        needed = self.needed(role)
        threads = self.settings.threads or int(needed.get("CPU", 0)) or None
        share = self.settings.worker.gpu_memory_utilization
        gpus = needed.get("GPU", 0.0)
        return replace(
            self.launch.told_worker(worker_id, registry),
            threads=threads,  # none: those of the cores that its node lends it
            gpu_memory_utilization=share * gpus if 0 < gpus < 1 else share,
            log_format="json",  # into Ray's files
        )

    @property
    def settings(self) -> UpSettings:
        return self.launch.settings


def threads_of(launch: LaunchPlan, joined: bool) -> int:
    """Of a worker that no resources were named for: on nodes that we do not know, one."""
    return launch.settings.threads or (1 if joined else launch.threads)


def own_cpus(settings: UpSettings, cores: int) -> int:
    """What a Ray of our own says it has: this machine's cores, and never too few to start with."""
    return max(cores, settings.num_workers * max(1, settings.threads or 0))
