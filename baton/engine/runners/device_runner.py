"""The model on a device: between the plan and the one copy of the result nothing waits for it.

Tests run it on a CPU, where every copy is made at once.
"""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from baton.core.errors import BatonError, InternalError
from baton.core.sampling_params import SamplingParams
from baton.core.token_record import TokenLogprobs
from baton.engine.attention.backend import AttentionBackend, GraphableBackend
from baton.engine.attention.choice import MakeAttention
from baton.engine.blocks.device_pool import DevicePool
from baton.engine.config import EngineConfig
from baton.engine.kv_shape import call_model
from baton.engine.loading.checkpoint import Checkpoint
from baton.engine.machine.device import Fetched, sent
from baton.engine.plan import Draw, Misled, SliceResult, StepPlan, StepResults
from baton.engine.runners.checkpoint_runner import CheckpointRunner
from baton.engine.runners.decode_graphs import DecodeGraphs, Recorder
from baton.engine.runners.device_follow import put_in
from baton.engine.runners.graph_sizes import graph_contexts, graph_rows
from baton.engine.runners.torch_runner import results_of, scored_rows
from baton.engine.sampling.device_drawing import DeviceDrawing, PendingDraws, grouped, needs_host
from baton.engine.sampling.drawing import Drawing, unsound
from baton.engine.sampling.grammar_masks import GrammarMasks
from baton.engine.sampling.logits_parts import logits_in_parts, parts_of
from baton.engine.sampling.token_scores import token_scores
from baton.engine.scheduling.flight import Flight

MakeRecorder = Callable[[torch.device], Recorder]


class DeviceRunner(CheckpointRunner):
    """A `Runner`, and a `Launcher` of its own steps. It may be built on one thread and used on another."""

    depth = 2

    def __init__(
        self,
        checkpoint: Checkpoint,
        config: EngineConfig,
        device: torch.device,
        make_attention: MakeAttention,
        masks: GrammarMasks,
        make_recorder: MakeRecorder | None,
    ) -> None:
        """`checkpoint.model` lies on `device`. `make_recorder` None: no graphs."""
        super().__init__(checkpoint, config)
        self._config = config
        self._device = device
        self._make_attention = make_attention
        self._masks = masks
        self._make_recorder = make_recorder
        self._drawing = DeviceDrawing(Drawing(checkpoint.eos_token_ids, self._plugins), masks)
        self._attention: AttentionBackend | None = None
        self._graphs: DecodeGraphs | None = None
        rows = graph_rows(
            config.cuda_graph_sizes, config.max_num_seqs
        )  # refused before memory is taken
        self._last: DeviceFlight | None = None  # launched; the next step may follow it
        self._graph_rows = rows
        self._graph_logits: Tensor | None = None
        if make_recorder is not None:
            shape = (rows[-1], checkpoint.vocab_size)
            self._graph_logits = torch.empty(shape, dtype=torch.float32, device=device)

    def attach(self, pool: DevicePool) -> None:
        """Captures the graphs, which takes seconds."""
        self._begin()
        self._attention = self._make_attention(pool.tensor)
        self._graphs = None
        if self._make_recorder is None or self._graph_logits is None:
            return
        if not isinstance(self._attention, GraphableBackend):
            raise InternalError(f"{type(self._attention).__name__} has no graphs")
        longest = min(
            self.max_model_len,
            self._config.max_model_len or self.max_model_len,
            pool.num_blocks * self.layout.block_size,
        )
        with torch.inference_mode():
            self._graphs = DecodeGraphs(
                self._checkpoint.model,
                self._attention,
                self._make_recorder(self._device),
                self._graph_rows,
                graph_contexts(longest),
                pool.scratch,
                self._graph_logits,
            )

    def rest(self) -> None:
        """Nothing is kept busy."""

    def close(self) -> None:
        """Nothing is kept."""

    def foresees(self, params: SamplingParams) -> bool:
        return not needs_host(params)

    def run(self, plan: StepPlan) -> list[SliceResult | BatonError]:
        return [one for one in self.launch(plan).results() if not isinstance(one, Misled)]

    def launch(self, plan: StepPlan) -> Flight:
        """Waits for nothing, unless scores of a prompt are asked for."""
        if self._attention is None:
            raise InternalError("the runner has no pool yet: attach comes before run")
        self._begin()
        draws, before = plan.draws, self._last
        groups = grouped(draws)
        self._masks.begin(groups.host_draws)  # their tokens are known; the device hides it
        with torch.inference_mode():
            if any(piece.targets for piece in plan.slices):
                self._last = None
                return _Landed(self._run_with_scores(plan, draws, self._attention))
            logits = self._logits(plan, self._attention, None if before is None else before.ids)
            pending: PendingDraws | Fetched
            if draws:
                pending = self._drawing.begin(_one_per_draw(logits, plan), draws, groups)
            else:
                pending = Fetched((), self._device)  # who hears of a chunk may read its KV
        self._last = DeviceFlight(plan, pending, before)
        return self._last

    def _begin(self) -> None:
        """What a thread must have been told, and torch keeps for each of them."""
        if self._device.type == "cuda":
            torch.cuda.set_device(self._device)
        if torch.get_num_threads() != self._config.threads:
            torch.set_num_threads(self._config.threads)

    def _logits(self, plan: StepPlan, attention: AttentionBackend, drawn: Tensor | None) -> Tensor:
        """float32 [rows, vocabulary], of the last row of each slice with draws."""
        if self._graphs is not None and (logits := self._graphs.run(plan, drawn)) is not None:
            return logits
        tokens, positions, rows = _inputs(plan, _last_rows(plan), self._device)
        put_in(tokens, plan, drawn)
        step = attention.prepare(plan)
        return call_model(self._checkpoint.model, tokens, positions, rows, step).float()

    def _run_with_scores(
        self, plan: StepPlan, draws: list[Draw], attention: AttentionBackend
    ) -> list[SliceResult | BatonError]:
        """Prompt log-probabilities are rare, and told of on the host, a part at a time: each part is
        waited for.
        """
        rows, targets, counts = scored_rows(plan)
        tokens, positions, last = _inputs(plan, _last_rows(plan), self._device)
        put_in(tokens, plan, None)  # it lands here, so nothing may follow what has not landed yet
        parts = [last, *(sent(p, p.dtype, self._device) for p in parts_of(rows, self.vocab_size))]
        step = attention.prepare(plan)
        logits = logits_in_parts(self._checkpoint.model, tokens, positions, parts, step)
        first = next(logits).float()
        groups = grouped(draws)
        pending = self._drawing.begin(_one_per_draw(first, plan), draws, groups) if draws else None
        scores: list[TokenLogprobs | BatonError] = []
        for part in logits:
            values = part.float().cpu()
            now = slice(len(scores), len(scores) + len(values))
            failed = unsound(values)
            found = token_scores(values.log_softmax(dim=-1), targets[now], counts[now])
            scores += [error or one for error, one in zip(failed, found, strict=True)]
        return results_of(plan, pending.outcomes() if pending else (), scores)


class DeviceFlight:
    """A step that was launched."""

    def __init__(
        self, plan: StepPlan, pending: PendingDraws | Fetched, before: "DeviceFlight | None"
    ) -> None:
        self._plan = plan
        self._pending: PendingDraws | Fetched | None = pending
        self._before = before
        self.ids = pending.ids if isinstance(pending, PendingDraws) else None
        self.wrong: frozenset[int] = frozenset()  # once it has landed: places in `ids`

    def results(self) -> StepResults:
        """Behind those of the step before. The one place where the host waits for the device."""
        before, self._before = self._before, None
        pending, self._pending = self._pending, None  # its logits may go
        if pending is None:
            raise InternalError("a step lands once")
        if isinstance(pending, Fetched):
            pending.wait()
            return results_of(self._plan, ())
        with torch.inference_mode():  # as what is drawn from was made
            outcomes = pending.outcomes()
        results: StepResults = results_of(self._plan, outcomes)
        self.wrong = pending.corrected
        if before is not None and before.wrong:
            results = self._without_misled(results, before.wrong)
        return results

    def _without_misled(self, results: StepResults, wrong: frozenset[int]) -> StepResults:
        """And whoever follows those is misled too."""
        found: list[SliceResult | BatonError | Misled] = []
        first = 0
        for piece, result in zip(self._plan.slices, results, strict=True):
            misled = piece.follows in wrong
            found.append(Misled() if misled else result)
            if misled:
                self.wrong |= frozenset(range(first, first + len(piece.draws)))
            first += len(piece.draws)
        return found


class _Landed:
    """A step that was waited for as it was launched; none follows it."""

    def __init__(self, results: StepResults) -> None:
        self._results = results

    def results(self) -> StepResults:
        return self._results


def _inputs(plan: StepPlan, rows: list[int], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids and positions of all slices in one row, and the rows asked for: int64, one copy."""
    tokens = list(itertools.chain.from_iterable(piece.tokens for piece in plan.slices))
    positions = list(
        itertools.chain.from_iterable(
            range(piece.start, piece.start + len(piece.tokens)) for piece in plan.slices
        )
    )
    there = sent([*tokens, *positions, *rows], torch.int64, device)
    first, second = len(tokens), len(tokens) + len(positions)
    return there[:first], there[first:second], there[second:]


def _last_rows(plan: StepPlan) -> list[int]:
    """Where in the flat batch each slice with draws ends."""
    ends = itertools.accumulate(len(piece.tokens) for piece in plan.slices)
    return [end - 1 for end, piece in zip(ends, plan.slices, strict=True) if piece.draws]


def _one_per_draw(logits: Tensor, plan: StepPlan) -> Tensor:
    """A slice's row counts once for each of its draws."""
    counts = [len(piece.draws) for piece in plan.slices if piece.draws]
    if max(counts, default=1) == 1:
        return logits
    rows = [row for row, count in enumerate(counts) for _ in range(count)]
    return logits.index_select(0, sent(rows, torch.int64, logits.device))
