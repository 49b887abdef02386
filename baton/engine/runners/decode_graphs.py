"""Decode steps as CUDA graphs: captured once for a few sizes, replayed on buffers that stay where they
are. Without a device the same buffers are computed on eagerly, which is how tests run this.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from baton.core.errors import InternalError
from baton.engine.attention.backend import DecodeStep, GraphableBackend
from baton.engine.kv_shape import call_model
from baton.engine.machine.device import HostTurns
from baton.engine.plan import StepPlan
from baton.engine.runners.device_follow import put_in
from baton.engine.runners.graph_sizes import GraphSize, graph_for, padded

logger = logging.getLogger(__name__)

Replay = Callable[[], None]


class Recorder(Protocol):
    def record(self, work: Callable[[], None]) -> Replay:
        """Does `work` at least once, and returns what does it again on the same memory."""
        ...


class EagerRecorder:
    """Records nothing: what it returns computes again."""

    def record(self, work: Callable[[], None]) -> Replay:
        work()
        return work


class CudaRecorder:
    """All graphs share the memory of what they compute on the way: they never run side by side."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._memory = torch.cuda.graph_pool_handle()

    def record(self, work: Callable[[], None]) -> Replay:
        side = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(side):
            work()  # compiles kernels and sets up libraries, which a capture must not
        torch.cuda.current_stream(self._device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._memory):
            work()
        return graph.replay


class DecodeGraphs:
    """Used by one thread at a time. The logits of a step are good until the next one."""

    def __init__(
        self,
        model: PreTrainedModel,
        backend: GraphableBackend,
        recorder: Recorder,
        rows: Sequence[int],
        contexts: Sequence[int],
        scratch: int,
        logits: Tensor,
    ) -> None:
        """`logits` is float32 [greatest of rows, vocabulary], on the device: results come there."""
        self._rows, self._contexts = rows, contexts
        self._scratch = scratch
        self._logits = logits
        self._graphs: dict[GraphSize, _Graph] = {}
        sizes = [GraphSize(count, context) for count in rows for context in contexts]
        for size in sorted(
            sizes, reverse=True
        ):  # the largest first: the others need no more memory
            step = backend.decode_step(size.rows, size.context)
            self._graphs[size] = _Graph(model, step, recorder, size, scratch, logits)
        logger.info("%d decode graphs of up to %d rows are captured", len(sizes), rows[-1])

    def run(self, plan: StepPlan, drawn: Tensor | None = None) -> Tensor | None:
        """float32 [slices, vocabulary], of whoever gets it; None where no graph holds the plan. Waits
        for nothing. `drawn`: the ids that slices follow.
        """
        size = graph_for(plan, self._rows, self._contexts)
        if size is None:
            return None
        self._graphs[size].replay(padded(plan, size.rows, self._scratch), drawn)
        return self._logits[
            : len(plan.slices)
        ].clone()  # the next step may be begun before it is read


class _Graph:
    def __init__(
        self,
        model: PreTrainedModel,
        step: DecodeStep,
        recorder: Recorder,
        size: GraphSize,
        scratch: int,
        logits: Tensor,
    ) -> None:
        device = logits.device
        self._step = step
        self._rows = size.rows
        self._on_host = HostTurns((2, size.rows), torch.int64, device)
        self._inputs = torch.zeros((2, size.rows), dtype=torch.int64, device=device)
        self._result = logits[: size.rows]
        self._model = model
        self._order = torch.arange(size.rows, device=device)
        self._fill(padded(StepPlan(()), size.rows, scratch))
        self._replay = recorder.record(self._compute)

    def replay(self, plan: StepPlan, drawn: Tensor | None) -> None:
        self._fill(plan)
        put_in(self._inputs[0], plan, drawn)
        self._replay()

    def _fill(self, plan: StepPlan) -> None:
        if len(plan.slices) != self._rows:
            raise InternalError(f"{len(plan.slices)} slices fit no graph")
        numbers = [[p.tokens[0] for p in plan.slices], [p.start for p in plan.slices]]
        ready = self._on_host.next()
        ready.copy_(torch.tensor(numbers))
        self._inputs.copy_(ready, non_blocking=True)
        self._step.renew(plan)

    def _compute(self) -> None:
        tokens, positions = self._inputs.unbind()
        logits = call_model(self._model, tokens, positions, self._order, self._step)
        self._result.copy_(logits)
