"""Whether a model's bits are the same however a request is computed: tried at load, on a few sequences."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from baton.core.errors import SettingsError
from baton.core.sampling_params import LogprobsMode, SamplingParams
from baton.engine.attention.choice import MakeAttention
from baton.engine.kv_shape import KvShape
from baton.engine.loading.paged_trial import paged_logits, random_sequences
from baton.engine.plan import Draw
from baton.engine.sampling.drawing import Drawing, Outcome
from baton.engine.sampling.logits_plugins import LogitsPlugins

logger = logging.getLogger(__name__)

_LENGTHS = (300, 70, 41)  # tokens; the first is more than torch gives to one thread
_ALONE = ((300, 0, 0), (0, 70, 0), (0, 0, 41))
_TOGETHER = ((300, 70, 41),)
_CUT = ((256, 0, 32), (36, 48, 1), (1, 14, 1), *((1, 1, 1),) * 7, (0, 1, 0))

_RAW = SamplingParams(max_tokens=8, seed=11, logprobs=8)
_PROCESSED = replace(_RAW, top_p=0.9, logprobs_mode=LogprobsMode.PROCESSED_LOGPROBS)


def check_batch_invariance(
    model: PreTrainedModel, shape: KvShape, make_attention: MakeAttention, threads: int
) -> None:
    """Raises SettingsError that says where bits differ: alone, together and cut, on `threads` and on
    another number; and drawn alone and together.
    """
    sequences = random_sequences(shape.vocab_size, _LENGTHS)
    ways = (
        ("in one batch", _TOGETHER, threads),
        ("in chunks and token by token", _CUT, threads),
        ("on another number of threads", _CUT, 1 if threads > 1 else 2),
    )

    def run(steps: Sequence[Sequence[int]], count: int) -> list[Tensor]:
        with _threads(count):
            return paged_logits(model, shape, sequences, steps, make_attention, _wanted)

    with torch.inference_mode():
        expected = run(_ALONE, threads)
        for name, steps, count in ways:
            for number, (ours, right) in enumerate(zip(run(steps, count), expected, strict=True)):
                wrong = (ours != right).any(dim=1).nonzero()[:, 0].tolist()
                if wrong:
                    places = [at for at in range(_LENGTHS[number]) if _wanted(at, _LENGTHS[number])]
                    raise SettingsError(
                        f"--batch-invariant cannot be promised: the logits of a random sequence "
                        f"computed {name} differ from those computed alone, first at position "
                        f"{places[wrong[0]]} of {_LENGTHS[number]}"
                    )
        with _threads(threads):
            _check_drawing(torch.cat(expected))
    logger.info(
        "%s has the same bits alone, in a batch, in chunks and on other threads: %d positions of %d "
        "random sequences were compared",
        *(type(model).__name__, sum(len(part) for part in expected), len(_LENGTHS)),
    )


def _check_drawing(logits: Tensor) -> None:
    params = [(_RAW, _PROCESSED)[row % 2] for row in range(len(logits))]
    draws = [Draw(0, 5 + row, one) for row, one in enumerate(params)]
    together = _drawn(logits, draws)
    for row, draw in enumerate(draws):
        if _drawn(logits[row : row + 1], [draw]) != together[row : row + 1]:
            raise SettingsError(
                "--batch-invariant cannot be promised: a token or a log-probability that is drawn "
                f"in a batch differs from the one drawn alone ({draw.params.logprobs_mode.value})"
            )


def _drawn(logits: Tensor, draws: Sequence[Draw]) -> list[Outcome]:
    drawing = Drawing((), LogitsPlugins("", ()))
    return drawing.draw(logits.clone(), draws, [None] * len(draws))


def _wanted(position: int, length: int) -> bool:
    """Some of all, so that their logits may be held, and the last ones."""
    return position % 32 == 31 or position >= length - 8


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
