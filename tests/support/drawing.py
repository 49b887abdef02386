"""Draws from made-up logits, without an engine."""

from typing import Any

import torch
from torch import Tensor

from baton.core.sampling_params import SamplingParams
from baton.engine.plan import Draw, Drawn
from baton.engine.sampling.drawing import Drawing, Outcome, unsound
from baton.engine.sampling.logits_plugins import LogitsPlugins

EOS = (2, 5)
VOCAB = 12
PROMPT = [1, 3, 3, 6]
PROCESSORS = "tests.support.logits_processors"


def draw(answer: tuple[int, ...] = (), key: str = "a", choice: int = 0, **fields: Any) -> Draw:
    fields = {"max_tokens": 50, "seed": 0, "temperature": 0.0, **fields}
    tokens = [*PROMPT, *answer]
    return Draw(choice, len(tokens), SamplingParams(**fields), key, tokens, len(PROMPT))


def plugins(*names: str) -> LogitsPlugins:
    return LogitsPlugins(PROCESSORS.replace(".", r"\."), [f"{PROCESSORS}.{name}" for name in names])


def outcomes(logits: Tensor, *draws: Draw, loaded: LogitsPlugins | None = None) -> list[Outcome]:
    logits = logits.clone()
    return Drawing(EOS, loaded or plugins()).draw(logits, draws, unsound(logits))


def token(logits: Tensor, drawn: Draw, loaded: LogitsPlugins | None = None) -> int:
    [outcome] = outcomes(logits[None], drawn, loaded=loaded)
    assert isinstance(outcome, Drawn), outcome
    return outcome.token_id


def rising() -> Tensor:
    """The higher the id the better."""
    return torch.arange(VOCAB, dtype=torch.float32) - 5.5
