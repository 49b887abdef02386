"""A cluster that is about to run, whoever runs its workers."""

import asyncio
from dataclasses import dataclass

from baton.cluster.keeper import Patience, Voices
from baton.cluster.kept_workers import TellToDrain
from baton.cluster.launch_plan import LaunchPlan
from baton.cluster.orchestrator import Orchestrator
from baton.cluster.supervisor import Attend, Scraper, Supervisor


@dataclass(frozen=True, slots=True)
class Launch:
    """`hurry`, once set, turns the orderly stop into a kill. `scraper` and `attend` as `Supervisor` has
    them.
    """

    plan: LaunchPlan
    voices: Voices
    hurry: asyncio.Event
    patience: Patience
    tell_to_drain: TellToDrain
    scraper: Scraper | None = None
    attend: Attend | None = None

    async def run(self, workers: Orchestrator) -> None:
        """Returns never. Raises GaveUpError when a process cannot start."""
        told = (self.voices, self.hurry, self.patience, self.scraper, self.attend)
        await Supervisor(self.plan, workers, *told).run()
