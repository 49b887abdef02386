"""Logits on a device -> one outcome per draw, behind one wait for the device.

Draws that ask for nothing but temperature, top-k, top-p and min-p are made there, and two numbers of
each come back. Rows of all others (penalties, bias, grammars, log-probabilities, beams, plugins) come
to the host whole and pass through `Drawing`, as on a CPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from baton.core.errors import InternalError
from baton.core.sampling_params import SamplingParams
from baton.engine.machine.device import Fetched, sent
from baton.engine.plan import Draw, Drawn
from baton.engine.sampling import sampler
from baton.engine.sampling.device_sampler import first_look
from baton.engine.sampling.drawing import NO_NUMBER, Drawing, Outcome
from baton.engine.sampling.grammar_masks import GrammarMasks
from baton.engine.sampling.logits_rules import is_ruled


@dataclass(frozen=True, slots=True)
class DrawGroups:
    """Which draws of a step are made where, by their places among all of them."""

    here: tuple[int, ...]  # on the device
    on_host: tuple[int, ...]
    host_draws: tuple[Draw, ...]


def grouped(draws: Sequence[Draw]) -> DrawGroups:
    on_host = tuple(place for place, draw in enumerate(draws) if needs_host(draw.params))
    here = tuple(place for place, draw in enumerate(draws) if not needs_host(draw.params))
    return DrawGroups(here, on_host, tuple(draws[place] for place in on_host))


def needs_host(params: SamplingParams) -> bool:
    return is_ruled(params) or params.logprobs is not None or params.beam is not None


class DeviceDrawing:
    """Used by one thread."""

    def __init__(self, drawing: Drawing, masks: GrammarMasks) -> None:
        self._drawing = drawing
        self._masks = masks

    def begin(self, logits: Tensor, draws: Sequence[Draw], groups: DrawGroups) -> "PendingDraws":
        """`logits` are float32 [draws, vocabulary], and are changed. Waits for nothing."""
        sound = logits.amax(dim=-1).isfinite()  # a NaN is greater than everything
        logits.masked_fill_(~sound[:, None], 0.0)
        here = _rows(logits, groups.here)
        looked = first_look(here, [draws[place] for place in groups.here])
        whole = _rows(logits, groups.on_host) if groups.on_host else logits[:0]
        fetched = Fetched((sound, looked, whole), logits.device)
        ids = None if groups.on_host else looked[:, 0]
        return PendingDraws(self._drawing, self._masks, draws, groups, here, fetched, ids)


class PendingDraws:
    def __init__(
        self,
        drawing: Drawing,
        masks: GrammarMasks,
        draws: Sequence[Draw],
        groups: DrawGroups,
        here: Tensor,
        fetched: Fetched,
        ids: Tensor | None,
    ) -> None:
        """`ids`: int64 [draws] on the device, as far as known there, if all were drawn there."""
        self._drawing = drawing
        self._masks = masks
        self._draws = draws
        self._groups = groups
        self._here = here  # logits of the draws that were made on the device
        self._fetched = fetched
        self.ids = ids
        self.corrected: frozenset[int] = (
            frozenset()
        )  # places in `ids` where others came out at last

    def outcomes(self) -> list[Outcome]:
        """Waits for the device, once unless a draw was not certain."""
        sound, looked, whole = self._fetched.wait()
        ids = self._certain(looked.tolist())
        outcomes: dict[int, Outcome] = {
            place: Drawn(token_id) for place, token_id in zip(self._groups.here, ids, strict=True)
        }
        outcomes |= zip(self._groups.on_host, self._on_host(whole), strict=True)
        return [
            outcomes[place] if good else InternalError(NO_NUMBER)
            for place, good in enumerate(sound.tolist())
        ]

    def _certain(self, looked: list[list[int]]) -> list[int]:
        ids = [token_id for token_id, _ in looked]
        rest = [place for place, (_, certain) in enumerate(looked) if not certain]
        seen = tuple(ids)
        if rest:  # rare: many equal logits, or a nucleus of more than a thousand tokens
            rows = self._here[rest].cpu()
            draws = [self._draws[self._groups.here[place]] for place in rest]
            for place, token_id in zip(rest, sampler.sample(rows, draws), strict=True):
                ids[place] = token_id
        self.corrected = frozenset(place for place in rest if ids[place] != seen[place])
        return ids

    def _on_host(self, logits: Tensor) -> list[Outcome]:
        draws = self._groups.host_draws
        if not draws:
            return []
        return self._drawing.draw(logits, draws, self._masks.apply(logits, draws))


def _rows(logits: Tensor, places: Sequence[int]) -> Tensor:
    if len(places) == len(logits):
        return logits
    return logits.index_select(0, sent(places, torch.int64, logits.device))
