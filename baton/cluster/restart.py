"""When a process that died is started again. Pure: deaths in, decisions out."""

from dataclasses import dataclass, replace

FIRST_DELAY = 0.2  # seconds
LONGEST_DELAY = 10.0  # seconds
HEALTHY_AFTER = 30.0  # seconds of being ready that make earlier deaths forgotten
TRIES = 3  # deaths before ever being ready that are enough


@dataclass(frozen=True, slots=True)
class Again:
    """Start it again after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It will not start by trying more often."""

    deaths: int


@dataclass(frozen=True, slots=True)
class History:
    """What is remembered of the lives of one process."""

    ever_ready: bool = False
    deaths_in_a_row: int = 0  # since it was last healthy for a while

    def after_death(self, ready_for: float | None) -> "History":
        """`ready_for`: seconds between being ready and dying, None if it never was ready."""
        if ready_for is None:
            return replace(self, deaths_in_a_row=self.deaths_in_a_row + 1)
        earlier = 0 if ready_for >= HEALTHY_AFTER else self.deaths_in_a_row
        return History(ever_ready=True, deaths_in_a_row=earlier + 1)

    def decide(self) -> Again | GiveUp:
        """What to do after the death that was noted last."""
        if not self.ever_ready and self.deaths_in_a_row >= TRIES:
            return GiveUp(self.deaths_in_a_row)
        doublings = min(self.deaths_in_a_row - 1, 16)
        return Again(min(LONGEST_DELAY, FIRST_DELAY * 2.0**doublings))
