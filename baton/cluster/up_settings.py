"""The settings of `baton up`: how many workers, and what gateway and workers are told."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace

from baton.cluster.planner.settings import PlannerSettings
from baton.cluster.planner.size import Size
from baton.cluster.pool import KEYS, Pool, check_pool, pools_of
from baton.cluster.ray.settings import RaySettings
from baton.core.errors import SettingsError
from baton.engine.machine.core_board import MAX_WORKERS
from baton.model_source import HubSettings, Part, resolve
from baton.settings import nested, setting
from baton.telemetry.logs import FORMATS, LEVELS
from baton.worker.settings import WorkerSettings
from gateway.models.models_file import OF_A_MODEL as GATEWAYS
from gateway.models.models_file import (
    Entry,
    as_text,
    check_names,
    check_unsaid,
    entries_of,
    located,
    settings_for,
)
from gateway.settings import GatewaySettings

# What the plan decides for each process by itself, or what is one setting for all of them here.
_DECIDED = frozenset(
    {"model", "cluster_secret", "ready_fd", "shutdown_seconds", "log_level", "log_format"}
)
_GATEWAY_DECIDED = _DECIDED | {"registry_host", "registry_port", "worker"}
_WORKER_DECIDED = _DECIDED | {
    *(
        "served_model_name",
        "worker_id",
        "host",
        "advertise_host",
        "port",
        "advertise_port",
        "kv_port",
    ),
    *("advertise_kv_port", "metrics_port", "registry", "threads"),
    *("core_board", "core_slot"),
}


@dataclass(frozen=True, slots=True)
class UpSettings:
    """All flags of the gateway and of the workers but those that `baton up` decides itself."""

    model: str = setting(
        "", "Folder or hub id of the model. Without it the demo model is served.", positional=True
    )
    prefill_workers: int = setting(1, "Workers that read prompts; 0: the decode workers do.")
    decode_workers: int = setting(1, "Workers that write answers.")
    encode_workers: int = setting(
        0, "Workers that encode images for those who read prompts; 0: these encode by themselves."
    )
    orchestrator: str = setting(
        "processes",
        "What runs the workers: processes of this machine, or actors of a Ray cluster.",
        choices=("processes", "ray"),
    )
    threads: int | None = setting(
        None, "Compute threads of each worker (default: the cores shared out)."
    )
    lend_cores: bool = setting(
        False,
        "Let workers that compute use the cores of those that have nothing to do.",
    )
    cluster_secret: str = setting(
        "",
        "Shown on every call inside the cluster; give it where others are to join (default: a "
        "random one).",
        secret=True,
    )
    start_seconds: float = setting(600.0, "How long a process may take to become ready.")
    shutdown_seconds: float = setting(
        5.0, "Longest time that requests get to finish after Ctrl-C or SIGTERM."
    )
    with_prometheus: bool = setting(
        False,
        "Run a Prometheus beside the cluster, which scrapes all of it, with Baton's rules. It listens "
        "on 127.0.0.1; what it stores is gone with the cluster.",
    )
    prometheus_port: int = setting(0, "Port of --with-prometheus; 0 takes a free one.")
    log_level: str = setting("warning", "How much the processes log.", choices=LEVELS)
    log_format: str = setting("auto", "auto: text on a terminal, else JSON.", choices=FORMATS)
    gateway: GatewaySettings = nested(GatewaySettings, without=_GATEWAY_DECIDED)
    worker: WorkerSettings = nested(WorkerSettings, without=_WORKER_DECIDED)
    ray: RaySettings = nested(RaySettings)
    planning: PlannerSettings = nested(PlannerSettings)

    def __post_init__(self) -> None:
        _at_least(0, self.prefill_workers, "--prefill-workers")
        _at_least(1, self.decode_workers, "--decode-workers")
        _at_least(0, self.encode_workers, "--encode-workers")
        _at_least(1, self.threads, "--threads")
        if self.lend_cores and self.num_workers > MAX_WORKERS:
            raise SettingsError(f"--lend-cores is for {MAX_WORKERS} workers at most")
        if not 0 < self.start_seconds < float("inf"):
            raise SettingsError("--start-seconds must be a positive number")
        if not 0 <= self.shutdown_seconds < float("inf"):
            raise SettingsError("--shutdown-seconds must be a number of seconds, 0 or more")
        self._check_prometheus()
        self._check_orchestrator()
        self._check_planner()
        self.gateway.check_values()
        self.worker.check_values()
        if self.worker.hub.revision and not self.model:
            raise SettingsError("--revision needs --model: the hub id of the model")

    def _check_prometheus(self) -> None:
        if not 0 <= self.prometheus_port < 65536:
            raise SettingsError(f"--prometheus-port must be a port, not {self.prometheus_port}")
        if not self.with_prometheus:
            if self.prometheus_port:
                raise SettingsError("--prometheus-port does nothing without --with-prometheus")
            return
        if self.gateway.uds:
            raise SettingsError(
                "--with-prometheus cannot read metrics from a Unix socket: drop --uds"
            )
        if self.gateway.tls.ssl_cert_reqs == ssl.CERT_REQUIRED:
            raise SettingsError(
                "--with-prometheus has no certificate to show, which --ssl-cert-reqs 2 demands"
            )

    def _check_planner(self) -> None:
        self.planning.check()
        if not self.planning.is_on:
            return
        self.planning.limits(self.size)
        if self.gateway.tls.ssl_cert_reqs == ssl.CERT_REQUIRED:
            raise SettingsError(
                "--planner has no certificate to show to the gateway, which --ssl-cert-reqs 2 demands"
            )

    @property
    def size(self) -> Size:
        return Size(self.prefill_workers, self.decode_workers)

    def _check_orchestrator(self) -> None:
        self.ray.check()
        if self.orchestrator == "ray" and self.lend_cores:
            raise SettingsError(
                "--lend-cores is for workers that are processes of this machine; with --orchestrator "
                "ray give each the cores that it needs by --ray-prefill-resources and "
                "--ray-decode-resources"
            )
        if self.orchestrator == "ray" and self.encode_workers:
            raise SettingsError(
                "--encode-workers are processes of this machine; with --orchestrator ray start each "
                "with `baton encode` where it is to run"
            )
        if self.orchestrator != "ray" and self.ray != RaySettings():
            raise SettingsError("--ray-... settings are for --orchestrator ray")

    @property
    def joins_ray(self) -> bool:
        """Workers may be on other machines, which have their own files."""
        return self.orchestrator == "ray" and bool(self.ray.ray_address)

    def check_models(self) -> None:
        """Raises SettingsError for models that cannot be served beside each other."""
        if not self.gateway.models_file:
            return
        if self.orchestrator == "ray":
            raise SettingsError("--models-file is for --orchestrator processes so far")
        if self.planning.is_on:
            raise SettingsError("--planner sizes a cluster of one model; drop --models-file")
        for pool in self.pools[1:]:
            check_pool(pool)
        gateways = [settings_for(entry, self.gateway) for entry in self._entries]
        for one in gateways:
            one.check_values()
        check_names([self._names, *(one.served_names for one in gateways)])

    @property
    def pools(self) -> tuple[Pool, ...]:
        """Of each model, the first being that of the flags."""
        worker = replace(self.worker, model=self.model, served_model_name=self._names[:1])
        first = Pool(
            worker,
            self.prefill_workers,
            self.decode_workers,
            self.encode_workers,
            self.threads,
        )
        return (first, *pools_of(self._entries, self.worker))

    @property
    def num_engines(self) -> int:
        """Workers that have a whole model."""
        return sum(pool.num_engines for pool in self.pools)

    @property
    def num_workers(self) -> int:
        return sum(pool.num_workers for pool in self.pools)

    @property
    def told_gateway(self) -> GatewaySettings:
        """But for what the plan decides: of the models' file no more than it reads."""
        entries = [
            {name: value for name, value in entry.items() if name in GATEWAYS}
            for entry in self._entries
        ]
        return replace(self.gateway, model=self.model, models_file=as_text(entries))

    @property
    def _names(self) -> tuple[str, ...]:
        return self.gateway.served_model_name or (self.model,)

    @property
    def _entries(self) -> list[Entry]:
        file = self.gateway.models_file
        return entries_of(file, UpSettings, KEYS) if file else []

    def with_first(self) -> "UpSettings":
        """Where no flag names a model, the first of --models-file is told as flags would tell it.
        Raises SettingsError.
        """
        if self.model or not self.gateway.models_file:
            return self
        check_unsaid(self, KEYS)
        first, *others = self._entries
        [pool] = pools_of([first], self.worker)
        told = settings_for(first, self.gateway)
        return replace(
            self,
            model=first["model"],
            prefill_workers=pool.prefill_workers,
            decode_workers=pool.decode_workers,
            encode_workers=pool.encode_workers,
            threads=pool.threads,
            gateway=replace(told, model="", models_file=as_text(others)),
            worker=replace(pool.worker, model="", served_model_name=()),
        )

    def located(self, say: Callable[[str], None]) -> "UpSettings":
        """With folders for hub ids, downloaded where needed, so that no child asks a hub; but in
        a Ray cluster each node does for itself.

        Raises SettingsError, see `resolve`.
        """
        if self.joins_ray:
            return replace(self, gateway=replace(self.gateway, hub=self.worker.hub))
        folder = str(resolve(self.model, self.worker.hub, Part.ALL, say))
        gateway = replace(self.gateway, model=self.model, hub=self.worker.hub, models_file="")
        others = [self._located(entry, say) for entry in self._entries]
        return replace(
            self,
            model=folder,
            gateway=replace(gateway.located(say), model="", models_file=as_text(others)),
            worker=replace(self.worker, hub=HubSettings()),
        )

    def _located(self, entry: Entry, say: Callable[[str], None]) -> Entry:
        [pool] = pools_of([entry], self.worker)
        resolve(entry["model"], pool.worker.hub, Part.ALL, say)
        return located(entry, settings_for(entry, self.gateway).located(say))

    def serving(self, model: str, name: str) -> "UpSettings":
        """With another model, which clients call `name` unless they were told another one."""
        names = self.gateway.served_model_name or (name,)
        return replace(self, model=model, gateway=replace(self.gateway, served_model_name=names))


def _at_least(least: int, value: int | None, flag: str) -> None:
    if value is not None and value < least:
        raise SettingsError(f"{flag} must be at least {least}, not {value}")
