"""What a gateway process is told at its start."""

from dataclasses import dataclass
from pathlib import Path

from baton.core.errors import SettingsError
from baton.settings import setting
from baton.telemetry.logs import FORMATS, LEVELS


@dataclass(frozen=True)
class GatewaySettings:
    model: str = setting("", "Folder of the model that the workers serve.")
    tokenizer: str = setting("", "Folder of the tokenizer; the model's if left out.")
    served_model_name: tuple[str, ...] = setting(
        (), "Name clients use; repeat for more. Answers carry the first. Default: the folder."
    )
    host: str = setting("127.0.0.1", "Address of the HTTP server.")
    port: int = setting(8000, "Port of the HTTP server; 0 takes a free one.")
    registry_host: str = setting("127.0.0.1", "Address that workers register at.")
    registry_port: int = setting(0, "Port that workers register at; 0 takes a free one.")
    cluster_secret: str = setting("", "Shown on every call inside the cluster; empty: none.")
    strict_fields: bool = setting(False, "Answer 400 to a field that the API does not know.")
    max_queued_requests: int = setting(1024, "Requests that may wait for room; more get 429.")
    max_queue_seconds: float = setting(60.0, "Longest wait for room; then 503.")
    worker_silence_seconds: float = setting(
        300.0, "A request is given up after so long without a word from its workers."
    )
    client_stall_seconds: float = setting(
        60.0, "A client that stops sending its body or reading its stream is dropped after so long."
    )
    max_body_bytes: int = setting(16 << 20, "Largest request body; a larger one gets 413.")
    log_level: str = setting("info", "How much to log.", choices=LEVELS)
    log_format: str = setting("auto", "auto: text on a terminal, else JSON.", choices=FORMATS)
    ready_fd: int | None = setting(
        None, "File descriptor that gets one JSON line with the addresses, then is closed."
    )

    def check(self) -> None:
        """Raises SettingsError for a value that no gateway can run with."""
        if not self.model:
            raise SettingsError("--model is missing: the folder of the model")
        for name in ("port", "registry_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise SettingsError(f"--{name.replace('_', '-')} must be between 0 and 65535")
        if self.max_queued_requests < 0:
            raise SettingsError("--max-queued-requests cannot be negative")
        for name in ("max_queue_seconds", "worker_silence_seconds", "client_stall_seconds"):
            if not 0 < getattr(self, name) < float("inf"):
                raise SettingsError(f"--{name.replace('_', '-')} must be a positive number")
        if self.max_body_bytes < 1:
            raise SettingsError("--max-body-bytes must be at least 1")

    @property
    def served_names(self) -> tuple[str, ...]:
        return self.served_model_name or (self.model,)

    @property
    def model_folder(self) -> Path:
        return Path(self.model)

    @property
    def tokenizer_folder(self) -> Path:
        return Path(self.tokenizer or self.model)
