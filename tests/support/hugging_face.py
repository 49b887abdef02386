"""Greedy answers of Hugging Face's own `generate`, and how sure it was of each token."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

UNSURE = 1e-4  # a difference of the two best logits below which float32's noise may decide

Prompt = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    tokens: tuple[int, ...]
    margins: tuple[float, ...]  # best logit minus second best, at each token


class Oracle:
    """float32, attention by torch, one prompt at a time; never ends a sequence early."""

    def __init__(self, folder: Path) -> None:
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self._model.generation_config.eos_token_id = None
        self.vocab_size: int = self._model.config.vocab_size

    def answer(self, prompt: Prompt, count: int) -> Answer:
        ids = torch.tensor([prompt])
        output = self._model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=count,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
        best = torch.cat(output.logits).topk(2).values
        return Answer(
            tuple(output.sequences[0, len(prompt) :].tolist()),
            tuple((best[:, 0] - best[:, 1]).tolist()),
        )


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
                margin = answer.margins[step]
                assert margin < UNSURE, (
                    f"token {step}: {our} instead of {theirs}, by a margin of {margin}"
                )
                self.excused += 1
                return

    def check_share(self) -> None:
        """At most 0.1 %; a single one is no share yet."""
        assert self.excused <= max(1, self.tokens // 1000)

    def __str__(self) -> str:
        return f"{self.tokens} tokens, {self.excused} excused ({self.excused / self.tokens:.3%})"


def draw_prompts(rng: random.Random, count: int, longest: int, vocab_size: int) -> list[Prompt]:
    """Lengths from 1 to `longest`, both among them, short and long alike often."""
    lengths = [1, longest] + [round(longest ** rng.random()) for _ in range(count - 2)]
    rng.shuffle(lengths)
    return [tuple(rng.randrange(vocab_size) for _ in range(length)) for length in lengths]
