"""The model on the CPU: one flat batch of prompt chunks and decode tokens per step."""

import itertools
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import PreTrainedModel

from baton.core.errors import BatonError, InternalError, SettingsError
from baton.core.extras import needing
from baton.core.sampling_params import SamplingParams
from baton.core.token_record import TokenLogprobs
from baton.engine.attention.backend import AttentionBackend
from baton.engine.attention.choice import MakeAttention, choose_attention
from baton.engine.blocks.paged_tensor import paged_tensor
from baton.engine.config import OFF, EngineConfig
from baton.engine.kernel_build import KernelError, default_recipe, load_kernels
from baton.engine.kv_shape import call_model, kv_shape
from baton.engine.loading.checkpoint import Checkpoint, load_checkpoint
from baton.engine.loading.invariance_check import check_batch_invariance
from baton.engine.machine.core_board import cores_for
from baton.engine.machine.thread_team import release_team
from baton.engine.modules.decoder_stack import decoder_stack
from baton.engine.modules.kernels import Kernels
from baton.engine.modules.packed_linear import pack_linears
from baton.engine.modules.release import release_files, release_heap, weight_bytes
from baton.engine.modules.screened_head import screen_head, screened_head_of
from baton.engine.modules.swap import swap_modules
from baton.engine.packing import packs_linears
from baton.engine.plan import Draw, SliceResult, StepPlan
from baton.engine.runners.checkpoint_runner import CheckpointRunner
from baton.engine.runners.flat_batch import flat_embeddings, flat_positions, flat_tokens, unseen
from baton.engine.runners.numeric_class import check_parts, kernel_class
from baton.engine.sampling.drawing import Drawing, Outcome, slice_result, unsound
from baton.engine.sampling.grammar_masks import GrammarMasks
from baton.engine.sampling.logits_parts import logits_in_parts, parts_of
from baton.engine.sampling.logits_rules import is_ruled
from baton.engine.sampling.output_ranks import output_ranks
from baton.engine.sampling.token_scores import token_scores
from baton.engine.vision.tower import tower_of

if TYPE_CHECKING:
    from baton.engine.blocks.kv_pool import KvPool
    from baton.engine.vision.encoder import ImageEncoder

logger = logging.getLogger(__name__)


def load_torch_runner(model: str, config: EngineConfig) -> "TorchRunner":
    """Raises SettingsError where the folder, the dtype or the attention backend cannot be served."""
    if config.batch_invariant:
        kernel_class(os.environ)  # raises before a weight is read
    make_attention = choose_attention(config.attention_backend, os.environ)
    checkpoint = load_checkpoint(model, config.dtype)
    replace_modules(
        checkpoint,
        matrix_units=not config.batch_invariant,
        int8=config.quantization == "int8",
        screen=config.output_screen != OFF,
    )
    kv_shape(checkpoint.model)  # a class that reads a weight itself fails now, not in service
    numeric_class = ""
    if config.batch_invariant:
        check_parts(checkpoint.model)
        check_batch_invariance(
            checkpoint.model, checkpoint.kv_shape, make_attention, config.threads
        )
        numeric_class = kernel_class(os.environ)
    masks = GrammarMasks(Path(model), checkpoint.vocab_size, checkpoint.eos_token_ids)
    images = image_encoder(checkpoint.model, Path(model), config.threads)
    release_heap()
    runner = TorchRunner(checkpoint, config, make_attention, masks, numeric_class, images)
    release_team()  # this thread computed to check the modules; another one will run the steps
    return runner


def image_encoder(network: PreTrainedModel, folder: Path, threads: int) -> "ImageEncoder | None":
    """None where the model reads only text. Raises SettingsError."""
    if tower_of(network) is None:
        return None
    with needing("vision", f"{folder} reads images, and a worker needs pillow for it"):
        from baton.engine.vision.encoder import ImageEncoder
    return ImageEncoder(network, folder, threads)


def replace_modules(
    checkpoint: Checkpoint, *, matrix_units: bool = True, int8: bool = False, screen: bool = False
) -> None:
    """By C++, or where that cannot be had by what torch has packed. `matrix_units` and `int8` as in
    `Kernels`; raises SettingsError where int8 cannot be had. `screen`: where it pays, before the output layer.
    """
    loaded = weight_bytes(checkpoint.model)
    try:
        library = load_kernels(default_recipe(os.environ), logger.warning)
        kernels = Kernels(library, matrix_units, int8=int8)
    except KernelError as error:
        if int8:
            raise SettingsError(f"--quantization int8 needs the C++ kernels: {error}") from error
        logger.warning("the model's modules stay in plain torch, which is slower: %s", error)
        if packs_linears(checkpoint.dtype):
            logger.info("%d linear layers are packed", pack_linears(checkpoint.model))
    else:
        swap_modules(checkpoint.model, checkpoint.kv_shape, kernels)
        if screen:
            screen_head(checkpoint.model, kernels, checkpoint.vocab_size)
    release_files(checkpoint.model, loaded)


class TorchRunner(CheckpointRunner):
    """A `Runner`. It may be built on one thread and used on another."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        config: EngineConfig,
        make_attention: MakeAttention,
        masks: GrammarMasks,
        numeric_class: str = "",
        images: "ImageEncoder | None" = None,
    ) -> None:
        """`numeric_class` is empty unless equal bits are promised. `images` None: the model reads
        only text.
        """
        super().__init__(checkpoint, config, numeric_class)
        self._masks = masks
        self._cores = cores_for(config.threads, config.core_board, config.core_slot)
        self._make_attention = make_attention
        self._attention: AttentionBackend | None = None
        self._drawing = Drawing(checkpoint.eos_token_ids, self._plugins)
        self._stack = decoder_stack(
            checkpoint.model, checkpoint.vocab_size, checkpoint.max_model_len
        )
        self.images = images
        self._screened = screened_head_of(checkpoint.model)

    def attach(self, pool: "KvPool") -> None:
        self._attention = self._make_attention(paged_tensor(pool, self._layout))

    def run(self, plan: StepPlan) -> list[SliceResult | BatonError]:
        if self._attention is None:
            raise InternalError("the runner has no pool yet: attach comes before run")
        threads = self._cores.begin(len(plan.slices))
        if torch.get_num_threads() != threads:  # OpenMP keeps the number per thread
            torch.set_num_threads(threads)
        draws = plan.draws
        self._masks.begin(draws)  # their tokens are known; the forward pass hides it
        with torch.inference_mode():
            if any(piece.targets for piece in plan.slices):
                results = self._run_with_scores(plan, draws, self._attention)
            else:
                logits = self._logits(plan, self._attention)
                results = results_of(plan, self._drawn(logits, plan, draws))
        return [unseen(piece) or one for piece, one in zip(plan.slices, results, strict=True)]

    def foresees(self, params: SamplingParams) -> bool:
        return params.beam is None and not is_ruled(params)

    def rest(self) -> None:
        self._cores.rest()

    def _logits(self, plan: StepPlan, attention: AttentionBackend) -> Tensor:
        """float32 [rows, vocabulary], of the last row of each slice with draws."""
        model, step = self._checkpoint.model, attention.prepare(plan)
        tokens = flat_tokens(plan)
        positions, rows = flat_positions(plan), last_rows(plan)
        if self._screened is not None:
            self._screened.ranks = output_ranks(plan)
        if self._stack is not None:
            return self._stack.logits(tokens, positions, rows, step).float()
        seen = flat_embeddings(plan, model, tokens)
        return call_model(model, tokens, positions, rows, step, seen).float()

    def _run_with_scores(
        self, plan: StepPlan, draws: list[Draw], attention: AttentionBackend
    ) -> list[SliceResult | BatonError]:
        """Rows to draw from come first; the prompt's follow a part at a time."""
        rows, targets, counts = scored_rows(plan)
        parts = [last_rows(plan), *parts_of(rows, self.vocab_size)]
        model, step = self._checkpoint.model, attention.prepare(plan)
        tokens = flat_tokens(plan)
        seen = flat_embeddings(plan, model, tokens)
        logits = logits_in_parts(model, tokens, flat_positions(plan), parts, step, seen)
        outcomes = self._drawn(next(logits).float(), plan, draws)
        scores: list[TokenLogprobs | BatonError] = []
        for part in logits:
            values = part.float()
            now = slice(len(scores), len(scores) + len(values))
            failed = unsound(values)
            found = token_scores(values.log_softmax(dim=-1), targets[now], counts[now])
            scores += [error or one for error, one in zip(failed, found, strict=True)]
        return results_of(plan, outcomes, scores)

    def _drawn(self, logits: Tensor, plan: StepPlan, draws: list[Draw]) -> list[Outcome]:
        """One per draw; a slice's last row counts once for each of its draws."""
        copies = [len(piece.draws) for piece in plan.slices if piece.draws]
        if max(copies, default=1) > 1:
            logits = logits.repeat_interleave(torch.tensor(copies), dim=0)
        failed = unsound(logits)
        broken = self._masks.apply(logits, draws)  # before anything else sees them
        errors = [first or second for first, second in zip(failed, broken, strict=True)]
        return self._drawing.draw(logits, draws, errors)


def results_of(
    plan: StepPlan, outcomes: Iterable[Outcome], scores: Iterable[TokenLogprobs | BatonError] = ()
) -> list[SliceResult | BatonError]:
    """To each slice what is its own."""
    drawn, told = iter(outcomes), iter(scores)
    return [
        slice_result(
            itertools.islice(drawn, len(piece.draws)), itertools.islice(told, len(piece.targets))
        )
        for piece in plan.slices
    ]


def last_rows(plan: StepPlan) -> Tensor:
    """int64: where in the flat batch each slice with draws ends."""
    ends = itertools.accumulate(len(piece.tokens) for piece in plan.slices)
    rows = [end - 1 for end, piece in zip(ends, plan.slices, strict=True) if piece.draws]
    return torch.tensor(rows, dtype=torch.int64)


def scored_rows(plan: StepPlan) -> tuple[list[int], list[int], list[int]]:
    """Rows of the flat batch whose next token's score is wanted, those tokens, and of each how many
    alternatives.
    """
    rows: list[int] = []
    targets: list[int] = []
    counts: list[int] = []
    start = 0
    for piece in plan.slices:
        rows += range(start, start + len(piece.targets))
        targets += piece.targets
        counts += [piece.num_alternatives] * len(piece.targets)
        start += len(piece.tokens)
    return rows, targets, counts
