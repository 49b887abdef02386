"""A pretended device for the engine's core: steps are begun on it, and computed as late as may be."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from baton.core.errors import BatonError
from baton.core.sampling_params import SamplingParams
from baton.engine.plan import Misled, Slice, SliceResult, StepPlan, StepResults


class Hindsight(Protocol):
    """A runner that is told at which slices of a plan nobody will look."""

    void: frozenset[int]

    def run(self, plan: StepPlan) -> list[SliceResult | BatonError]: ...


class FakeDevice:
    """A `Launcher`. Each step is computed when it lands, after everything that was decided meanwhile:
    whatever takes a block away from a step under way is seen in what this step writes or reads.

    While `misleads`, the step behind is given a wrong token in place of the first one that was drawn,
    computes with it, and finds that out.
    """

    depth = 2

    def __init__(self, runner: Hindsight) -> None:
        self.foresees: Callable[[SamplingParams], bool] = lambda params: True
        self.misleads = False
        self.num_ahead = 0  # steps that were begun while another was under way
        self.num_misled = 0  # slices
        self._runner = runner
        self._flying: list[FakeFlight] = []
        self._drawn: list[tuple[int, bool]] = []  # of the last step, and whether that is right

    @property
    def num_flying(self) -> int:
        return len(self._flying)

    def launch(self, plan: StepPlan) -> "FakeFlight":
        self.num_ahead += bool(self._flying)
        flight = FakeFlight(self, plan)
        self._flying.append(flight)
        return flight

    def rest(self) -> None:
        assert not self._flying

    def close(self) -> None:
        assert not self._flying

    def land(self, flight: "FakeFlight", plan: StepPlan) -> StepResults:
        assert self._flying.pop(0) is flight, "the first to begin lands first"
        given = [self._given(piece) for piece in plan.slices]
        right = [good for _, good in given]
        self._runner.void = frozenset(i for i, good in enumerate(right) if not good)
        found = self._runner.run(StepPlan(tuple(piece for piece, _ in given)))
        results = [one if good else Misled() for one, good in zip(found, right, strict=True)]
        self.num_misled += len(self._runner.void)
        self._drawn = [
            drawn
            for piece, one in zip(plan.slices, results, strict=True)
            for drawn in _passed_on(piece, one)
        ]
        if self.misleads and self._drawn:
            token, _ = self._drawn[0]
            self._drawn[0] = (token ^ 1, False)
        return results

    def _given(self, piece: Slice) -> tuple[Slice, bool]:
        if piece.follows is None:
            return piece, True
        token, right = self._drawn[piece.follows]
        return replace(piece, tokens=(token,), follows=None), right


class FakeFlight:
    def __init__(self, device: FakeDevice, plan: StepPlan) -> None:
        self._device = device
        self._plan = plan

    def results(self) -> StepResults:
        return self._device.land(self, self._plan)


def _passed_on(piece: Slice, result: SliceResult | BatonError | Misled) -> list[tuple[int, bool]]:
    """Of each draw a token, and whether it is the one that was drawn."""
    if isinstance(result, SliceResult):
        return [(drawn.token_id, True) for drawn in result.drawn]
    return [(0, False)] * len(piece.draws)
