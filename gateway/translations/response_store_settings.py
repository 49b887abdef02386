"""How much of /v1/responses is kept, as flags tell it."""

from dataclasses import dataclass

from baton.core.errors import SettingsError
from baton.settings import setting
from gateway.translations.response_store import Bounds


@dataclass(frozen=True, slots=True)
class ResponseStoreSettings:
    response_store_count: int = setting(
        1000, "Responses that /v1/responses keeps for each API key; 0: none."
    )
    response_store_bytes: int = setting(
        64 << 20, "Memory for them, for each API key; the oldest make room.", size=True
    )
    response_store_seconds: float = setting(3600.0, "How long a response is kept.")

    def check(self) -> None:
        for name in ("response_store_count", "response_store_bytes", "response_store_seconds"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise SettingsError(f"--{name.replace('_', '-')} must be 0 or more")

    @property
    def bounds(self) -> Bounds:
        return Bounds(
            self.response_store_count, self.response_store_bytes, self.response_store_seconds
        )
