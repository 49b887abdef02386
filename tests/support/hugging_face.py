"""Greedy answers of Hugging Face's own `generate`, and how sure it was of each token."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

NOISE = 1e-4  # a difference of the two best logits below which float32's noise may decide

Prompt = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    tokens: tuple[int, ...]
    margins: tuple[float, ...]  # best logit minus second best, at each token
    unsure: tuple[float, ...]  # margins up to which rounding may decide, at each token


class Oracle:
    """Eager attention, one prompt at a time; never ends a sequence early.

    Eager, because torch's own attention leaves a soft cap out without a word.
    """

    def __init__(self, folder: Path, dtype: torch.dtype = torch.float32, steps: int = 2) -> None:
        """`steps` of a shorter dtype between the two best logits may be rounding."""
        self._model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation="eager"
        )
        self._model.generation_config.eos_token_id = None
        self._dtype = dtype
        self._steps = steps
        self.vocab_size: int = self._model.config.vocab_size

    def answer(self, prompt: Prompt, count: int) -> Answer:
        ids = torch.tensor([prompt])
        with _one_thread():
            output = self._model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=count,
                do_sample=False,
                output_logits=True,
                return_dict_in_generate=True,
            )
        best = torch.cat(output.logits).float().topk(2).values
        return Answer(
            tuple(output.sequences[0, len(prompt) :].tolist()),
            tuple((best[:, 0] - best[:, 1]).tolist()),
            tuple(self._unsure(best[:, 0]).tolist()),
        )

    def _unsure(self, best: Tensor) -> Tensor:
        if self._dtype == torch.float32:
            return torch.full_like(best, NOISE)
        step = torch.finfo(self._dtype).eps * best.abs().log2().floor().exp2()
        return self._steps * step


@contextmanager
def _one_thread() -> Iterator[None]:
    """Several wait for each other ten times as long as they compute where cores are busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(slots=True)
class Comparison:
    tokens: int = 0  # compared
    excused: int = 0  # where ours is another one and the oracle was unsure

    def add(self, answer: Answer, ours: Sequence[int]) -> None:
        """After a token that differs nothing can be compared."""
        assert len(ours) == len(answer.tokens)
        for step, (theirs, our) in enumerate(zip(answer.tokens, ours, strict=True)):
            self.tokens += 1
            if our != theirs:
                margin, unsure = answer.margins[step], answer.unsure[step]
                assert margin <= unsure, (
                    f"token {step}: {our} instead of {theirs}, by a margin of {margin:.3g} where "
                    f"{unsure:.3g} is rounding"
                )
                self.excused += 1
                return

    def check_share(self) -> None:
        """At most 0.1 %; a single one is no share yet. For float32."""
        assert self.excused <= max(1, self.tokens // 1000)

    def __str__(self) -> str:
        return f"{self.tokens} tokens, {self.excused} excused ({self.excused / self.tokens:.3%})"


def draw_prompts(rng: random.Random, count: int, longest: int, vocab_size: int) -> list[Prompt]:
    """Lengths from 1 to `longest`, both among them, short and long alike often."""
    lengths = [1, longest] + [round(longest ** rng.random()) for _ in range(count - 2)]
    rng.shuffle(lengths)
    return [tuple(rng.randrange(vocab_size) for _ in range(length)) for length in lengths]
