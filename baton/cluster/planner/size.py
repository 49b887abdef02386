"""How large a cluster is."""

from dataclasses import dataclass

from baton.core.worker_info import Role


@dataclass(frozen=True, slots=True, order=True)
class Size:
    prefill: int
    decode: int

    @property
    def workers(self) -> int:
        return self.prefill + self.decode

    def of(self, role: Role) -> int:
        return self.prefill if role is Role.PREFILL else self.decode

    def within(self, other: "Size") -> bool:
        """Nowhere larger."""
        return self.prefill <= other.prefill and self.decode <= other.decode

    def __str__(self) -> str:
        return f"{self.prefill} prefill + {self.decode} decode"
