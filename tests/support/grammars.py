"""A small real tokenizer, and a plain reading of what a mask allows."""

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from baton.cluster.model_tokenizer import END, train_tokenizer
from baton.core.sampling_params import Grammar, SamplingParams
from baton.engine.plan import Draw

VOCAB = 700  # of the tokenizer
ROWS = 768  # of the model: padded
EOS = 2  # END


def write_tokenizer(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(VOCAB, max_chars=300_000, max_length=4096)
    assert tokenizer.convert_tokens_to_ids(END) == EOS
    tokenizer.save_pretrained(folder)
    return folder


def tokenizer_in(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def constrained(
    text: str, *, after: tuple[int, ...] = (), ignore_eos: bool = False, stops: tuple[int, ...] = ()
) -> SamplingParams:
    return SamplingParams(
        max_tokens=64,
        seed=0,
        temperature=0.0,
        ignore_eos=ignore_eos,
        stop_token_ids=stops,
        grammar=Grammar(text, after),
    )


def draw_of(
    params: SamplingParams, answer: Sequence[int], *, key: str = "w", choice: int = 0
) -> Draw:
    prompt = [5, 6, 7]
    return Draw(choice, 3 + len(answer), params, key, [*prompt, *answer], len(prompt))


def allowed_of(row: Tensor) -> set[int]:
    return set(torch.isfinite(row).nonzero()[:, 0].tolist())
