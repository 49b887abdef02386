"""Which CUDA graphs there are and which one a step takes. Pure.

A graph computes a fixed number of rows over tables of a fixed width. A decode step takes the smallest
that holds it, filled up with rows that nobody reads.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from baton.core.errors import SettingsError
from baton.engine.plan import Slice, StepPlan

FIRST_CONTEXT = 2048  # tokens of the longest sequence; each next width is four times as large


@dataclass(frozen=True, slots=True, order=True)
class GraphSize:
    rows: int
    context: int  # tokens of the longest sequence, its new one included


def graph_rows(wanted: Iterable[int], max_num_seqs: int) -> tuple[int, ...]:
    """Ascending. Without a wish the powers of two up to `max_num_seqs`, and that itself.

    Raises SettingsError for sizes that no step could have.
    """
    wanted = set(wanted)
    if wanted and not 1 <= min(wanted) <= max(wanted) <= max_num_seqs:
        raise SettingsError(
            f"--cuda-graph-sizes must be between 1 and --max-num-seqs ({max_num_seqs}), not "
            f"{', '.join(map(str, sorted(wanted)))}"
        )
    powers = {1 << power for power in range(max_num_seqs.bit_length())}
    return tuple(sorted(wanted or powers | {max_num_seqs}))


def graph_contexts(max_model_len: int) -> tuple[int, ...]:
    """Ascending, the last one `max_model_len`: a short sequence pays for no long one's tables."""
    contexts = []
    context = FIRST_CONTEXT
    while context < max_model_len:
        contexts.append(context)
        context *= 4
    return (*contexts, max_model_len)


def graph_for(plan: StepPlan, rows: Sequence[int], contexts: Sequence[int]) -> GraphSize | None:
    """None: the step is computed without a graph. Both are ascending."""
    slices = plan.slices
    if not slices or any(len(piece.tokens) != 1 or not piece.draws for piece in slices):
        return None
    longest = max(piece.start + 1 for piece in slices)
    fitting_rows = (count for count in rows if count >= len(slices))
    fitting_contexts = (context for context in contexts if context >= longest)
    found = next(fitting_rows, None), next(fitting_contexts, None)
    if found[0] is None or found[1] is None or any(piece.targets for piece in slices):
        return None
    return GraphSize(found[0], found[1])


def padded(plan: StepPlan, rows: int, scratch: int) -> StepPlan:
    """With as many slices as `rows`: those behind the plan's own write to the block `scratch`, attend
    to themselves alone, and nothing is drawn from them.
    """
    filler = Slice((0,), 0, (scratch,), ())
    return replace(plan, slices=(*plan.slices, *[filler] * (rows - len(plan.slices))))
