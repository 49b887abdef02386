"""Which processes a cluster on this machine consists of, and how each is started. Pure."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

from baton.cluster.child_process import Command
from baton.cluster.pool import Pool
from baton.cluster.up_settings import UpSettings
from baton.cluster.welcome import welcome
from baton.core.worker_info import Role
from baton.settings import CONFIG_VARIABLE, as_environment, as_flags, variables_of
from baton.worker.settings import WorkerSettings
from gateway.settings import GatewaySettings

LOOPBACK = "127.0.0.1"
_PYTHON = (sys.executable, "-m")


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """Commands of the gateway and the workers. Secrets are only in their environment."""

    settings: UpSettings  # with a model
    secret: str
    environ: Mapping[str, str]  # of `baton up` itself
    cores: int  # that this machine lends us
    log_format: str  # decided for the terminal that the lines end up on
    core_board: str = ""  # path of a page for workers that lend each other their cores
    gpus: tuple[str, ...] = ()  # as CUDA_VISIBLE_DEVICES names them
    registry_host: str = LOOPBACK  # where workers reach the gateway's registry

    def gateway(self, port: int, registry_port: int) -> Command:
        told = replace(
            self.settings.told_gateway,
            port=self.port if self.settings.gateway.uds else port,
            registry_host=LOOPBACK if self._has_redis else self.registry_host,
            registry_port=0 if self._has_redis else registry_port,
            cluster_secret=self.secret,
            shutdown_seconds=self.settings.shutdown_seconds,
            log_level=self.settings.log_level,
            log_format=self.log_format,
        )
        return Command((*_PYTHON, "gateway", *as_flags(told)), self._environment(told))

    @property
    def port(self) -> int:
        return self.settings.gateway.port

    def welcome(self, url: str, metrics: str = "") -> list[str]:
        names = [pool.name for pool in self.settings.pools]
        return welcome(url, names, self.settings.gateway, metrics)

    def workers(self) -> list[tuple[str, Role]]:
        """Their ids and roles."""
        return [worker for pool in self.settings.pools for worker in pool.workers()]

    def worker(self, worker_id: str, role: Role, registry: str, slot: int) -> Command:
        told = self.told_worker(worker_id, registry)
        threads = self.threads_of(worker_id)
        if role is Role.ENCODE:
            told = replace(told.without_engine(), threads=threads)
        else:
            told = replace(
                told,
                threads=threads,
                core_board=self.core_board,
                core_slot=slot if self.core_board else 0,
                gpu_memory_utilization=self._gpu_share,
            )
        env = {**self._environment(told), "OMP_NUM_THREADS": str(threads)}
        if self._spreads_gpus and role is not Role.ENCODE:
            env["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)]
        return Command((*_PYTHON, "baton.cluster.entry", role.value, *as_flags(told)), env)

    def told_worker(self, worker_id: str, registry: str) -> WorkerSettings:
        """But for what depends on where it runs."""
        return replace(
            self._pool_of(worker_id).worker,
            worker_id=worker_id,
            registry="" if self._has_redis else registry,
            cluster_secret=self.secret,
            shutdown_seconds=self.settings.shutdown_seconds,
            log_level=self.settings.log_level,
            log_format=self.log_format,
        )

    def threads_of(self, worker_id: str) -> int:
        """The cores shared out, so that workers do not fight over them."""
        return self._pool_of(worker_id).threads or self.threads

    @property
    def threads(self) -> int:
        """Of each worker that is told nothing else."""
        return max(1, self.cores // self.settings.num_workers)

    def _pool_of(self, worker_id: str) -> Pool:
        """One that came later is of the first model."""
        first, *others = self.settings.pools
        return next((p for p in others if worker_id in dict(p.workers())), first)

    @property
    def _spreads_gpus(self) -> bool:
        """Unless one device is named, workers take turns on those that there are."""
        return len(self.gpus) > 1 and self.settings.worker.device in ("auto", "cuda")

    @property
    def _gpu_share(self) -> float:
        """Of its device's memory: what the setting says is for all workers on it together."""
        devices = len(self.gpus) if self._spreads_gpus else 1
        workers = -(-self.settings.num_engines // devices)
        share = self.settings.worker.gpu_memory_utilization
        return share / workers if self.gpus else share

    @property
    def _has_redis(self) -> bool:
        """Then gateway and workers meet there."""
        return self.settings.gateway.redis.place is not None

    def _environment(self, told: object) -> dict[str, str]:
        """Ours without what we have read from it: everything is told by flags, secrets apart."""
        read = {CONFIG_VARIABLE} | variables_of(UpSettings)
        read |= variables_of(GatewaySettings) | variables_of(WorkerSettings)
        kept = {name: value for name, value in self.environ.items() if name not in read}
        return kept | as_environment(told)
