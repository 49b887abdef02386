"""Which processes a cluster on this machine consists of, and how each is started. Pure."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from baton.cluster.child_process import Command
from baton.cluster.up_settings import UpSettings, own_variables
from baton.core.worker_info import Role
from baton.settings import as_flags, env_of
from baton.worker.settings import WorkerSettings
from gateway.settings import GatewaySettings

_PYTHON = (sys.executable, "-m")
SECRET_VARIABLE = "BATON_CLUSTER_SECRET"
# What must differ from process to process would be wrong in all but one.
_EACH_ITS_OWN = {"port", "metrics_port", "registry_port", "registry", "worker_id", "ready_fd"}


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """Commands of the gateway and the workers. The secret is only in their environment."""

    settings: UpSettings  # with a model
    secret: str
    environ: Mapping[str, str]  # of `baton up` itself
    cores: int  # that this machine lends us
    log_format: str  # decided for the terminal that the lines end up on

    def gateway(self, port: int, registry_port: int) -> Command:
        told = replace(
            replace(GatewaySettings(), **self.settings.tuning(GatewaySettings)),  # type: ignore[arg-type]
            model=self.settings.model,
            host=self.settings.host,
            port=port,
            registry_port=registry_port,
            log_format=self.log_format,
        )
        return Command((*_PYTHON, "gateway", *as_flags(told)), self._environment())

    @property
    def port(self) -> int:
        return self.settings.port

    @property
    def served_name(self) -> str:
        """What clients call the model."""
        return (self.settings.served_model_name or (self.settings.model,))[0]

    def workers(self) -> list[tuple[str, Role]]:
        """Their ids and roles."""
        prefill = [(f"prefill-{i}", Role.PREFILL) for i in range(self.settings.prefill_workers)]
        decode = [(f"decode-{i}", Role.DECODE) for i in range(self.settings.decode_workers)]
        return prefill + decode

    def worker(self, worker_id: str, role: Role, registry: str) -> Command:
        tuned = replace(WorkerSettings(), **self.settings.tuning(WorkerSettings))  # type: ignore[arg-type]
        told = replace(
            tuned,
            model=self.settings.model,
            worker_id=worker_id,
            registry=registry,
            threads=self.threads,
            log_format=self.log_format,
        )
        env = {**self._environment(), "OMP_NUM_THREADS": str(self.threads)}
        return Command((*_PYTHON, f"{role.value}_worker", *as_flags(told)), env)

    @property
    def threads(self) -> int:
        """Of each worker: the cores shared out, so that workers do not fight over them."""
        return self.settings.threads or max(1, self.cores // self.settings.num_workers)

    def _environment(self) -> dict[str, str]:
        specs = [*fields(GatewaySettings), *fields(WorkerSettings)]
        private = {env_of(spec) for spec in specs if spec.name in _EACH_ITS_OWN}
        kept = {
            name: value
            for name, value in self.environ.items()
            if name not in own_variables() | private
        }
        return {**kept, SECRET_VARIABLE: self.secret}
