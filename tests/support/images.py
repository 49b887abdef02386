"""Image files, prompts that have them, and Hugging Face's answers to these."""

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText

from baton.core.prompt_images import ImageSpan, PromptImage, image_digest
from baton.images.image_file import decode
from baton.images.image_rules import ImageRules, rules_of
from tests.support.hugging_face import NOISE, Answer, Comparison, one_thread
from tests.support.models import IMAGE_PAD, VISION_END, VISION_START, image_processor

WORDS = range(10, 900)  # token ids of a text

Piece = bytes | int  # an image's file, or so many tokens of text


def image_file(width: int, height: int, seed: int = 0, format: str = "PNG", **how: Any) -> bytes:
    """A few large fields of random colours: no two seeds look alike."""
    fields = numpy.random.default_rng(seed).integers(0, 256, (3, 3, 3), numpy.uint8)
    image = Image.fromarray(fields).resize((width, height), Image.Resampling.NEAREST)
    file = io.BytesIO()
    image.save(file, format, **how)
    return file.getvalue()


@dataclass(frozen=True, slots=True)
class ImagePrompt:
    tokens: tuple[int, ...]
    images: tuple[PromptImage, ...]

    @property
    def spans(self) -> tuple[ImageSpan, ...]:
        return tuple(image.span for image in self.images)


def prompt_with(rules: ImageRules, pieces: Sequence[Piece], seed: int = 0) -> ImagePrompt:
    """As the model's own processor would write it, of random words."""
    rng = random.Random(seed)
    tokens: list[int] = []
    images: list[PromptImage] = []
    for piece in pieces:
        if isinstance(piece, int):
            tokens += rng.choices(WORDS, k=piece)
            continue
        header = decode(piece, 1 << 20)
        rows, columns = rules.grid(*header.size)
        tokens.append(VISION_START)
        span = ImageSpan(len(tokens), rows, columns, image_digest(piece, ""))
        images.append(PromptImage(span, piece))
        tokens += [IMAGE_PAD] * span.num_tokens + [VISION_END]
    return ImagePrompt(tuple(tokens), tuple(images))


def check_equal(answers: Sequence[Answer], ours: Sequence[Sequence[int]]) -> None:
    """But for near-ties, of which there may be one."""
    comparison = Comparison()
    for answer, tokens in zip(answers, ours, strict=True):
        comparison.add(answer, tokens)
    comparison.check_share()


class ImageOracle:
    """Hugging Face's `generate`, greedy, in float32; never ends a sequence early."""

    def __init__(self, folder: Path) -> None:
        self._model: Any = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager"
        )
        self._model.generation_config.eos_token_id = None
        rules = rules_of(folder)
        assert rules is not None
        self.rules = rules

    def inputs(self, prompt: ImagePrompt) -> dict[str, Any]:
        ids = torch.tensor([prompt.tokens])
        read: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if prompt.images:
            pixels = [decode(image.data, 1 << 20) for image in prompt.images]
            read |= dict(image_processor()(images=pixels, return_tensors="pt"))
            read["mm_token_type_ids"] = (ids == IMAGE_PAD).int()
        return read

    def answer(self, prompt: ImagePrompt, count: int) -> Answer:
        with one_thread():
            output = self._model.generate(
                **self.inputs(prompt),
                max_new_tokens=count,
                do_sample=False,
                output_logits=True,
                return_dict_in_generate=True,
            )
        best = torch.cat(output.logits).topk(2).values
        tokens = output.sequences[0, len(prompt.tokens) :].tolist()
        return Answer(
            tuple(tokens), tuple((best[:, 0] - best[:, 1]).tolist()), (NOISE,) * len(tokens)
        )

    def positions(self, prompt: ImagePrompt) -> list[list[int]]:
        read = self.inputs(prompt)
        found, _ = self._model.model.get_rope_index(
            read["input_ids"], read["mm_token_type_ids"], read["image_grid_thw"]
        )
        rows: list[list[int]] = found[:, 0].tolist()
        return rows
