"""Steps under way: begun in the order of their plans, and landed in the same order."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from baton.core.errors import BatonError
from baton.core.sampling_params import SamplingParams
from baton.engine.plan import Misled, Runner, Slice, SliceResult, StepPlan, StepResults


class Flight(Protocol):
    """A step that was begun."""

    def results(self) -> StepResults:
        """Waits for it; called once, after those of the step before. Raises what the step raised."""
        ...


@runtime_checkable
class Launcher(Protocol):
    """Begins steps on a runner, or is a runner that can. Called by one thread."""

    @property
    def depth(self) -> int:
        """Steps that may be under way at once: 1, or 2, of which the second may follow the first."""
        ...

    def foresees(self, params: SamplingParams) -> bool:
        """As `Runner` says."""
        ...

    def launch(self, plan: StepPlan) -> Flight:
        """Slices may follow the step that was launched last, if its results were not taken yet."""
        ...

    def rest(self) -> None:
        """Nothing is under way, and there is nothing to begin."""
        ...

    def close(self) -> None:
        """Nothing is launched any more."""
        ...


class AtOnce:
    """A `Launcher` that computes each step when its results are asked for."""

    depth = 1

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def foresees(self, params: SamplingParams) -> bool:
        return False

    def launch(self, plan: StepPlan) -> Flight:
        return _Computed(self._runner, plan)

    def rest(self) -> None:
        self._runner.rest()

    def close(self) -> None:
        """It holds nothing."""


class _Computed:
    def __init__(self, runner: Runner, plan: StepPlan) -> None:
        self._runner = runner
        self._plan = plan

    def results(self) -> StepResults:
        return self._runner.run(self._plan)


class Following:
    """Runs one plan after the other, and puts in what the one before drew where a slice follows it."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._drawn: list[int | None] = []  # by the last step's draws; None: nothing came of it

    def run(self, plan: StepPlan) -> StepResults:
        slices = [self._known(piece) for piece in plan.slices]
        known = tuple(piece for piece in slices if piece is not None)
        found = iter(self._runner.run(StepPlan(known)) if known else ())
        results = [Misled() if piece is None else next(found) for piece in slices]
        self._drawn = drawn_ids(plan.slices, results)
        return results

    def _known(self, piece: Slice) -> Slice | None:
        if piece.follows is None:
            return piece
        token = self._drawn[piece.follows]
        return None if token is None else replace(piece, tokens=(token,), follows=None)


def drawn_ids(
    slices: Sequence[Slice], results: Iterable[SliceResult | BatonError | Misled]
) -> list[int | None]:
    """Of each draw of a step, in order."""
    ids: list[int | None] = []
    for piece, result in zip(slices, results, strict=True):
        if isinstance(result, SliceResult):
            ids += [drawn.token_id for drawn in result.drawn]
        else:
            ids += [None] * len(piece.draws)
    return ids
