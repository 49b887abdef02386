"""How many of the best logits decide a step's draws."""

from baton.core.sampling_params import SamplingParams
from baton.engine.plan import StepPlan
from baton.engine.sampling.logits_rules import is_ruled

MOST = 64  # of a draw with top_k; with more, too many logits are close enough to count


def output_ranks(plan: StepPlan) -> list[int]:
    """Of each slice with draws, in order; empty where a draw looks at all logits, or its request is told
    of them.
    """
    ranks = [[_rank(draw.params) for draw in piece.draws] for piece in plan.slices if piece.draws]
    return [max(some) for some in ranks] if all(map(all, ranks)) else []


def _rank(params: SamplingParams) -> int:
    """0: all."""
    if params.logprobs is not None or params.beam is not None or is_ruled(params):
        return 0
    if params.greedy:
        return 1
    return params.top_k if params.top_k <= MOST else 0
