"""The settings of a planner: whether there is one, what it holds, and how far it may go."""

from dataclasses import dataclass, fields

from baton.cluster.planner.goals import Goals, Limits, Pace
from baton.cluster.planner.size import Size
from baton.core.errors import SettingsError
from baton.settings import setting

OFF, DRY_RUN, ON = MODES = ("off", "dry-run", "on")


@dataclass(frozen=True, slots=True)
class PlannerSettings:
    planner: str = setting(
        OFF,
        "Let workers be started, drained and given the other role by what is asked of them; dry-run: "
        "only say what would be done, and why.",
        choices=MODES,
    )
    slo_ttft_ms: float | None = setting(None, "First tokens that the planner is to hold.")
    slo_itl_ms: float | None = setting(None, "Time between two tokens that the planner is to hold.")
    min_prefill_workers: int | None = setting(
        None, "The planner leaves so many (default: 1, or 0 where the cluster begins with none)."
    )
    max_prefill_workers: int | None = setting(None, "And has no more (default: --max-workers).")
    min_decode_workers: int = setting(1, "Likewise, of decode workers.")
    max_decode_workers: int | None = setting(None, "Likewise (default: --max-workers).")
    max_workers: int | None = setting(
        None, "Of both roles together (default: as many as the cluster begins with)."
    )
    planner_seconds: float = setting(5.0, "Time between two looks at the cluster.")
    planner_patience_seconds: float = setting(
        120.0, "How long a worker must have been too many before it is drained."
    )

    @property
    def is_on(self) -> bool:
        return self.planner != OFF

    def check(self) -> None:
        """Raises SettingsError."""
        if not self.is_on:
            self._check_off()
            return
        if self.slo_ttft_ms is None and self.slo_itl_ms is None:
            raise SettingsError("--planner needs something to hold: --slo-ttft-ms or --slo-itl-ms")
        for flag, value in (
            ("--slo-ttft-ms", self.slo_ttft_ms),
            ("--slo-itl-ms", self.slo_itl_ms),
            ("--planner-seconds", self.planner_seconds),
            ("--planner-patience-seconds", self.planner_patience_seconds),
        ):
            if value is not None and not 0 < value < float("inf"):
                raise SettingsError(f"{flag} must be a positive number, not {value:g}")
        if self.planner_seconds > 30:
            raise SettingsError("--planner-seconds must be 30 at most")

    def _check_off(self) -> None:
        off = PlannerSettings()
        for field in fields(self):
            if getattr(self, field.name) != getattr(off, field.name):
                flag = field.name.replace("_", "-")
                raise SettingsError(f"--{flag} does nothing without --planner on or dry-run")

    @property
    def goals(self) -> Goals:
        return Goals(_seconds(self.slo_ttft_ms), _seconds(self.slo_itl_ms))

    @property
    def pace(self) -> Pace:
        """Two looks are enough where a mistake costs little."""
        look = self.planner_seconds
        return Pace(12 * look, 2 * look, self.planner_patience_seconds, 2 * look)

    def limits(self, first: Size) -> Limits:
        """`first`: what the cluster begins with. Raises SettingsError where it is outside."""
        least = self.min_prefill_workers
        if least is None:
            least = min(1, first.prefill)
        most = first.workers if self.max_workers is None else self.max_workers
        limits = Limits(
            Size(least, self.min_decode_workers),
            Size(
                most if self.max_prefill_workers is None else self.max_prefill_workers,
                most if self.max_decode_workers is None else self.max_decode_workers,
            ),
            most,
        )
        _check_limits(limits, first)
        return limits


def _check_limits(limits: Limits, first: Size) -> None:
    least, most = limits.least, limits.most
    if least.prefill < 0 or least.decode < 1:
        raise SettingsError("--min-prefill-workers is 0 at least, --min-decode-workers 1")
    if not least.within(most):
        raise SettingsError("the planner's least number of workers of a role is above its most")
    if least.workers > limits.most_workers:
        raise SettingsError(f"--max-workers {limits.most_workers} is less than its roles' least")
    if not (least.within(first) and first.within(most) and first.workers <= limits.most_workers):
        raise SettingsError(
            f"the cluster is to begin with {first}, which is outside the planner's limits: "
            f"{limits.told}"
        )


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
