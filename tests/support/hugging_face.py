"""Greedy answers of Hugging Face's own `generate`, and how sure it was of each token."""

import copy
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
    exact: Tensor | None = None  # float32's logits there, of the same weights; [tokens, vocabulary]

    def rounded_itself(self, step: int, our: int) -> bool:
        """In float32 the answer's own token does not lead ours by more than rounding either."""
        if self.exact is None:
            return False
        lead = self.exact[step, self.tokens[step]] - self.exact[step, our]
        return lead.item() <= self.unsure[step]


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
        self._exact: Any = None
        if dtype != torch.float32:
            self._exact = copy.deepcopy(self._model)
            self._exact.float()
        self.vocab_size: int = self._model.config.vocab_size

    def answer(self, prompt: Prompt, count: int) -> Answer:
        ids = torch.tensor([prompt])
        with one_thread():
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
            self._exact_logits(output.sequences, len(prompt)),
        )

    def _exact_logits(self, sequence: Tensor, prompt_len: int) -> Tensor | None:
        if self._exact is None:
            return None
        with one_thread(), torch.inference_mode():
            logits: Tensor = self._exact(sequence[:, :-1], use_cache=False).logits
        return logits[0, prompt_len - 1 :]

    def _unsure(self, best: Tensor) -> Tensor:
        if self._dtype == torch.float32:
            return torch.full_like(best, NOISE)
        step = torch.finfo(self._dtype).eps * best.abs().log2().floor().exp2()
        return self._steps * step


@contextmanager
def one_thread() -> Iterator[None]:
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
    wrong: int = 0  # where the oracle was sure in its dtype, but not so in float32

    def add(self, answer: Answer, ours: Sequence[int]) -> None:
        """After a token that differs nothing can be compared."""
        assert len(ours) == len(answer.tokens)
        for step, (theirs, our) in enumerate(zip(answer.tokens, ours, strict=True)):
            self.tokens += 1
            if our != theirs:
                margin, unsure = answer.margins[step], answer.unsure[step]
                self.wrong += margin > unsure
                assert margin <= unsure or answer.rounded_itself(step, our), (
                    f"token {step}: {our} instead of {theirs}, by a margin of {margin:.3g} where "
                    f"{unsure:.3g} is rounding"
                )
                self.excused += 1
                return

    def check_share(self) -> None:
        """At most 0.1 %; a single one is no share yet. For float32."""
        assert self.excused <= max(1, self.tokens // 1000)

    def __str__(self) -> str:
        share = f"{self.excused / self.tokens:.3%}"
        wrong = f", at {self.wrong} of them the oracle's own rounding decided" if self.wrong else ""
        return f"{self.tokens} tokens, {self.excused} excused ({share}){wrong}"


def draw_prompts(rng: random.Random, count: int, longest: int, vocab_size: int) -> list[Prompt]:
    """Lengths from 1 to `longest`, both among them, short and long alike often."""
    lengths = [1, longest] + [round(longest ** rng.random()) for _ in range(count - 2)]
    rng.shuffle(lengths)
    return [tuple(rng.randrange(vocab_size) for _ in range(length)) for length in lengths]
