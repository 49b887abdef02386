"""Whether a request's `priority` counts."""

from dataclasses import dataclass

from baton.core.errors import RequestError


@dataclass(frozen=True, slots=True)
class PriorityRule:
    heeds: bool = False
    ignores: bool = False  # takes it, where it does not count

    def check(self, priority: int | None) -> None:
        """Raises RequestError for one that would be taken in vain."""
        if priority and not self.heeds and not self.ignores:
            raise RequestError(
                "priority: this server places first come, first served; it would take 0, or others "
                "with --scheduling-policy priority",
                "priority",
            )

    def of(self, priority: int | None) -> int:
        return (priority or 0) if self.heeds else 0
