"""The model on the CPU: one flat batch of prompt chunks and decode tokens per step."""

import itertools
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from baton.core.errors import BatonError, InternalError
from baton.core.fingerprint import Fingerprint
from baton.core.layout import LayoutDescriptor
from baton.engine import sampler
from baton.engine.attention.backend import AttentionBackend
from baton.engine.attention.choice import MakeAttention, choose_attention
from baton.engine.attention.paged_tensor import paged_tensor
from baton.engine.beam_candidates import beam_candidates
from baton.engine.checkpoint import Checkpoint, load_checkpoint
from baton.engine.config import EngineConfig
from baton.engine.grammar_masks import GrammarMasks
from baton.engine.kv_shape import call_model, kv_shape
from baton.engine.packed_linear import pack_linears
from baton.engine.packing import packs_linears
from baton.engine.plan import Draw, Drawn, SliceResult, StepPlan

if TYPE_CHECKING:
    from baton.engine.kv_pool import KvPool

logger = logging.getLogger(__name__)


def load_torch_runner(model: str, config: EngineConfig) -> "TorchRunner":
    """Raises SettingsError where the folder, the dtype or the attention backend cannot be served."""
    make_attention = choose_attention(config.attention_backend, os.environ)
    checkpoint = load_checkpoint(model, config.dtype)
    if packs_linears(checkpoint.dtype):
        logger.info("%d linear layers are packed", pack_linears(checkpoint.model))
        kv_shape(checkpoint.model)  # a class that reads a weight itself fails now, not in service
    masks = GrammarMasks(Path(model), checkpoint.vocab_size, checkpoint.eos_token_ids)
    return TorchRunner(checkpoint, config, make_attention, masks)


class TorchRunner:
    """A `Runner`. It may be built on one thread and used on another."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        config: EngineConfig,
        make_attention: MakeAttention,
        masks: GrammarMasks,
    ) -> None:
        self._checkpoint = checkpoint
        self._masks = masks
        self._threads = config.threads
        self._layout = checkpoint.layout(config.block_size)
        self._fingerprint = checkpoint.fingerprint(config.block_size)
        self._make_attention = make_attention
        self._attention: AttentionBackend | None = None

    @property
    def layout(self) -> LayoutDescriptor:
        return self._layout

    @property
    def fingerprint(self) -> Fingerprint:
        return self._fingerprint

    @property
    def vocab_size(self) -> int:
        return self._checkpoint.vocab_size

    @property
    def eos_token_ids(self) -> frozenset[int]:
        return self._checkpoint.eos_token_ids

    @property
    def max_model_len(self) -> int:
        return self._checkpoint.max_model_len

    def attach(self, pool: "KvPool") -> None:
        self._attention = self._make_attention(paged_tensor(pool, self._layout))

    def run(self, plan: StepPlan) -> list[SliceResult | BatonError]:
        if self._attention is None:
            raise InternalError("the runner has no pool yet: attach comes before run")
        if torch.get_num_threads() != self._threads:  # OpenMP keeps the number per thread
            torch.set_num_threads(self._threads)
        draws = [draw for piece in plan.slices for draw in piece.draws]
        self._masks.begin(draws)  # their tokens are known; the forward pass hides it
        with torch.inference_mode():
            logits = self._logits(plan, self._attention)
            broken = self._masks.apply(logits, draws)  # before anything else sees them
            drawn = _draw(logits, draws, broken)
        return [_result(itertools.islice(drawn, len(piece.draws))) for piece in plan.slices]

    def _logits(self, plan: StepPlan, attention: AttentionBackend) -> Tensor:
        """float32 [draws, vocabulary]: a slice's last row once for each of its draws."""
        tokens, positions, rows = _flat(plan)
        step = attention.prepare(plan)
        logits = call_model(self._checkpoint.model, tokens, positions, rows, step).float()
        copies = [len(piece.draws) for piece in plan.slices if piece.draws]
        if max(copies, default=1) == 1:
            return logits
        return logits.repeat_interleave(torch.tensor(copies), dim=0)


def _draw(
    logits: Tensor, draws: Sequence[Draw], broken: Sequence[BatonError | None]
) -> Iterator[Drawn | BatonError]:
    """One per row, or what its grammar says, or that it has a NaN or no finite maximum."""
    sound = logits.amax(dim=-1).isfinite()  # a NaN is greater than everything
    if not sound.all():
        logits = logits.masked_fill(~sound[:, None], 0.0)
    drawn = _drawn(logits, draws)
    for one, good, error in zip(drawn, sound.tolist(), broken, strict=True):
        yield error or (one if good else InternalError("the model's output is not a number"))


def _drawn(logits: Tensor, draws: Sequence[Draw]) -> list[Drawn]:
    searched = [row for row, draw in enumerate(draws) if draw.params.beam is not None]
    if not searched:
        return [Drawn(token_id) for token_id in sampler.sample(logits, draws)]
    sampled = [row for row, draw in enumerate(draws) if draw.params.beam is None]
    found = beam_candidates(logits[searched], [draws[row] for row in searched])
    drawn = dict(zip(searched, found, strict=True))
    if sampled:
        ids = sampler.sample(logits[sampled], [draws[row] for row in sampled])
        drawn.update(zip(sampled, map(Drawn, ids), strict=True))
    return [drawn[row] for row in range(len(draws))]


def _result(results: Iterable[Drawn | BatonError]) -> SliceResult | BatonError:
    drawn: list[Drawn] = []
    for one in list(results):
        if isinstance(one, BatonError):
            return one
        drawn.append(one)
    return SliceResult(tuple(drawn))


def _flat(plan: StepPlan) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids and positions of all slices in one row, and which rows need logits; int64."""
    tokens: list[int] = []
    positions: list[int] = []
    rows: list[int] = []
    for piece in plan.slices:
        tokens += piece.tokens
        positions += range(piece.start, piece.start + len(piece.tokens))
        if piece.draws:
            rows.append(len(tokens) - 1)
    return torch.tensor(tokens), torch.tensor(positions), torch.tensor(rows, dtype=torch.int64)
