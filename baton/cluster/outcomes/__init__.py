"""What became of requests, and what that comes to: the same for a live cluster and a simulated one."""

from baton.cluster.outcomes.outcome import Fate, Gaps, Objectives, Outcome
from baton.cluster.outcomes.summary import Summary, summarise

__all__ = ["Fate", "Gaps", "Objectives", "Outcome", "Summary", "summarise"]
