"""The settings of `baton up`: how many workers, where, and what they all are told."""

from dataclasses import dataclass, fields
from pathlib import Path

from baton.core.errors import SettingsError
from baton.settings import env_of, setting
from baton.telemetry.logs import FORMATS, LEVELS

_OWN = "default: the worker's own"
_GATEWAY = "default: the gateway's own"


@dataclass(frozen=True, slots=True)
class UpSettings:
    """A setting that is None here keeps the default of the process that has it."""

    model: str = setting("", "Folder of the model. Without it a tiny random one is made.")
    served_model_name: tuple[str, ...] = setting((), "Name clients use; repeat for more.")
    prefill_workers: int = setting(1, "Workers that read prompts; 0: the decode workers do.")
    decode_workers: int = setting(1, "Workers that write answers.")
    host: str = setting("127.0.0.1", "Address of the HTTP server.")
    port: int = setting(8000, "Port of the HTTP server; 0 takes a free one.")
    dtype: str | None = setting(
        None, f"Of weights and KV cache ({_OWN}).", choices=("auto", "float32", "bfloat16")
    )
    max_model_len: int | None = setting(None, "Prompt and answer, tokens (default: the model's).")
    max_num_seqs: int | None = setting(None, f"Sequences in one step ({_OWN}).")
    max_num_batched_tokens: int | None = setting(None, f"Tokens in one step ({_OWN}).")
    kv_cache_memory_bytes: int | None = setting(None, f"Size of each KV pool ({_OWN}).")
    block_size: int | None = setting(None, f"Tokens per KV block, a multiple of 16 ({_OWN}).")
    threads: int | None = setting(
        None, "Compute threads of each worker (default: the cores shared out)."
    )
    kv_transport: str | None = setting(
        None, f"How KV blocks are read ({_OWN}).", choices=("auto", "shm", "tcp")
    )
    strict_fields: bool | None = setting(None, "Answer 400 to a field that the API does not know.")
    max_queued_requests: int | None = setting(
        None, f"Requests that may wait for room ({_GATEWAY})."
    )
    max_queue_seconds: float | None = setting(None, f"Longest wait for room ({_GATEWAY}).")
    start_seconds: float = setting(600.0, "How long a process may take to become ready.")
    log_level: str = setting("warning", "How much the processes log.", choices=LEVELS)
    log_format: str = setting("auto", "auto: text on a terminal, else JSON.", choices=FORMATS)

    def __post_init__(self) -> None:
        _at_least(0, self.prefill_workers, "--prefill-workers")
        _at_least(1, self.decode_workers, "--decode-workers")
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"--port must be between 0 and 65535, not {self.port}")
        for name in (
            "max_model_len",
            "max_num_seqs",
            "max_num_batched_tokens",
            "kv_cache_memory_bytes",
            "threads",
        ):
            _at_least(1, getattr(self, name), "--" + name.replace("_", "-"))
        if self.block_size is not None and (self.block_size < 16 or self.block_size % 16):
            raise SettingsError(f"--block-size must be a multiple of 16, not {self.block_size}")
        if not 0 < self.start_seconds < float("inf"):
            raise SettingsError("--start-seconds must be a positive number")
        if self.model:
            _check_model(self.model)

    @property
    def num_workers(self) -> int:
        return self.prefill_workers + self.decode_workers

    def tuning(self, process: type) -> dict[str, object]:
        """Fields that `process`, a settings class, has too and that were given.

        Not where it listens and what it serves: the plan decides that for each process.
        """
        theirs = {spec.name for spec in fields(process)} - {"host", "port", "model"}
        values = {spec.name: getattr(self, spec.name) for spec in fields(self)}
        return {name: v for name, v in values.items() if name in theirs and v is not None}


def own_variables() -> frozenset[str]:
    """Environment variables that `baton up` has read and its children must not read again."""
    return frozenset(env_of(spec) for spec in fields(UpSettings))


def _at_least(least: int, value: int | None, flag: str) -> None:
    if value is not None and value < least:
        raise SettingsError(f"{flag} must be at least {least}, not {value}")


def _check_model(model: str) -> None:
    if not Path(model).is_dir():
        wrong = "is a file, give its folder" if Path(model).is_file() else "there is no such folder"
        raise SettingsError(f"--model {model}: {wrong}")
    if not (Path(model) / "config.json").is_file():
        raise SettingsError(f"--model {model}: the folder holds no config.json, so no model")
