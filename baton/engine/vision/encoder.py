"""From an image's file to its embeddings: transformers' own processor and vision tower."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from baton.core.errors import InternalError, RequestError, SettingsError
from baton.core.prompt_images import PromptImage
from baton.engine.machine.thread_team import release_team
from baton.images.errors import ImageError
from baton.images.image_file import decode
from baton.images.image_rules import ImageRules, rules_of
from baton.images.limits import MOST_PIXELS


class ImageEncoder:
    """Deterministic: one image at a time, whoever else is asked for. Called by one thread at a time."""

    def __init__(self, model: PreTrainedModel, folder: Path, threads: int) -> None:
        """Raises SettingsError where the folder does not say how images are processed."""
        rules = rules_of(folder)
        if rules is None:
            raise SettingsError(f"{folder} is no model that reads images")
        self._rules = rules
        self._model: Any = model
        self._processor = _processor(folder)
        self._threads = threads

    @property
    def width(self) -> int:
        """Of an embedding, elements."""
        width: int = self._model.config.get_text_config().hidden_size
        return width

    def encode(self, image: PromptImage) -> Tensor:
        """[tokens, hidden], in the model's dtype. Raises RequestError for a file that cannot be read."""
        rules = self._rules_for(image)
        try:
            pixels = decode(image.data, MOST_PIXELS)
        except ImageError as error:
            raise RequestError(f"an image cannot be read: {error}", "messages") from error
        if torch.get_num_threads() != self._threads:  # OpenMP keeps the number per thread
            torch.set_num_threads(self._threads)
        size = {"shortest_edge": rules.min_pixels, "longest_edge": rules.max_pixels}
        read = self._processor(images=[pixels], size=size, return_tensors="pt")
        grid = read["image_grid_thw"]
        self._check(image, grid[0].tolist())
        with torch.inference_mode():
            features = self._model.get_image_features(
                read["pixel_values"], grid, return_dict=True
            ).pooler_output
        embeddings: Tensor = features[0].contiguous()
        release_team()  # steps may be computed on another thread of this process
        return embeddings

    def _rules_for(self, image: PromptImage) -> ImageRules:
        if not image.processing:
            return self._rules
        try:
            return self._rules.told(json.loads(image.processing))
        except ValueError as error:
            raise InternalError(f"the gateway told an image processor nonsense: {error}") from error

    def _check(self, image: PromptImage, grid: list[int]) -> None:
        """What the prompt was cut by."""
        merge = self._rules.merge
        found = [grid[0], grid[1] // merge, grid[2] // merge]
        expected = [1, image.span.rows, image.span.columns]
        if found != expected:
            raise InternalError(
                f"an image became {found} tokens where the prompt has {expected}: gateway and worker "
                "do not read the same preprocessor_config.json"
            )


def _processor(folder: Path) -> Any:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    return Qwen2VLImageProcessorPil.from_pretrained(str(folder), local_files_only=True)
