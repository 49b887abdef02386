"""The settings of one worker process, whatever its role."""

from dataclasses import dataclass

from baton.core.errors import SettingsError
from baton.engine.config import EngineConfig
from baton.settings import setting


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    model: str = setting("", "folder of the checkpoint")
    worker_id: str = setting("", "name in the cluster, stable across restarts (default: role-pid)")
    host: str = setting("127.0.0.1", "address to listen on")
    advertise_host: str = setting("", "address that others reach this worker at (default: host)")
    port: int = setting(0, "port of the gRPC server, 0 takes a free one")
    metrics_port: int = setting(0, "port of the metrics page, 0 takes a free one")
    registry: str = setting("", "host:port of the registry to join; none: the worker stands alone")
    cluster_secret: str = setting("", "shown by every call inside the cluster")
    dtype: str = setting(
        "auto", "auto is the checkpoint's", choices=("auto", "float32", "bfloat16")
    )
    max_model_len: int | None = setting(None, "prompt and answer, tokens (default: the model's)")
    max_num_seqs: int = setting(64, "sequences in one step")
    max_num_batched_tokens: int = setting(1024, "tokens in one step")
    kv_cache_memory_bytes: int = setting(1 << 30, "size of the KV pool")
    block_size: int = setting(16, "tokens per KV block, a multiple of 16")
    threads: int = setting(1, "compute threads")
    kv_transport: str = setting("auto", "how KV blocks are read", choices=("auto", "shm", "tcp"))
    shutdown_seconds: float = setting(5.0, "what running requests get to finish after SIGTERM")
    ready_fd: int | None = setting(None, "write one JSON line here when ready, then close it")
    log_level: str = setting("info", "debug, info, warning or error")
    log_format: str = setting(
        "auto", "auto is text on a terminal", choices=("auto", "text", "json")
    )

    def check(self) -> None:
        """Raises SettingsError for what no default can mend."""
        if not self.model:
            raise SettingsError("--model is missing: name the checkpoint's folder")
        for name in ("port", "metrics_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise SettingsError(f"--{name.replace('_', '-')} must be between 0 and 65535")
        if self.threads < 1:
            raise SettingsError(f"--threads must be at least 1, not {self.threads}")
        if not 0 <= self.shutdown_seconds < float("inf"):
            raise SettingsError("--shutdown-seconds must be a number of seconds, 0 or more")
        if self.registry and not _is_address(self.registry):
            raise SettingsError(f"--registry {self.registry} must be HOST:PORT")
        if self.host in ("0.0.0.0", "::") and not self.advertise_host:
            raise SettingsError(
                f"--host {self.host} listens everywhere; say with --advertise-host at which "
                "address the other processes reach this worker"
            )

    @property
    def engine(self) -> EngineConfig:
        return EngineConfig(
            block_size=self.block_size,
            kv_cache_memory_bytes=self.kv_cache_memory_bytes,
            max_num_seqs=self.max_num_seqs,
            max_num_batched_tokens=self.max_num_batched_tokens,
            max_model_len=self.max_model_len,
            dtype=self.dtype,
            threads=self.threads,
        )


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and 0 < int(port) <= 65535
