"""A runner on a thread of its own: the engine's thread schedules and tells meanwhile."""

from concurrent.futures import Future, ThreadPoolExecutor

from baton.core.errors import InternalError
from baton.core.sampling_params import SamplingParams
from baton.engine.plan import Runner, StepPlan, StepResults
from baton.engine.scheduling.flight import Flight, Following


class RunnerThread:
    """A `Launcher`. Nothing else may run the runner."""

    depth = 2

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._following = Following(runner)
        self._thread = ThreadPoolExecutor(1, "runner")  # starts with the first step
        self._failed = False

    def foresees(self, params: SamplingParams) -> bool:
        return self._runner.foresees(params)

    def launch(self, plan: StepPlan) -> Flight:
        return _Awaited(self._thread.submit(self._run, plan))

    def rest(self) -> None:
        self._runner.rest()

    def close(self) -> None:
        self._thread.shutdown()

    def _run(self, plan: StepPlan) -> StepResults:
        """Nothing is computed behind a step that failed."""
        if self._failed:
            raise InternalError("the step before has failed")
        self._failed = True
        results = self._following.run(plan)
        self._failed = False
        return results


class _Awaited:
    def __init__(self, future: "Future[StepResults]") -> None:
        self._future = future

    def results(self) -> StepResults:
        return self._future.result()
