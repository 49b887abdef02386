"""How a model of the Qwen2-VL family cuts images into tokens: a pure function of their size.

The gateway counts by it before anybody computes; workers process with transformers' own class and
check that both say the same.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from baton.core.errors import SettingsError
from baton.images.errors import ImageError

MODEL_TYPES = frozenset({"qwen2_vl", "qwen2_5_vl"})
LONGEST_RATIO = 200  # of the sides of an image, as the model's own processor has it
_FILES = ("preprocessor_config.json", "processor_config.json")
_EDGES = {
    "shortest_edge": "min_pixels",
    "longest_edge": "max_pixels",
}  # of `size`; areas, all the same


@dataclass(frozen=True, slots=True)
class ImageRules:
    """A token is `merge` x `merge` patches of `patch` x `patch` pixels, of an image that was brought
    to an area between the two bounds.
    """

    token_id: int  # stands once in the rendered prompt for each image, then once per token
    marks: tuple[int, ...]  # an image in a text: this token between those that enclose it
    patch: int
    merge: int
    min_pixels: int
    max_pixels: int

    def grid(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of tokens. Raises ImageError for an image that is too long or thin."""
        if max(width, height) > LONGEST_RATIO * min(width, height):
            raise ImageError(f"it is more than {LONGEST_RATIO} times as long as wide")
        unit = self.patch * self.merge
        rows, columns = round(height / unit), round(width / unit)
        area = rows * columns * unit * unit
        if area > self.max_pixels:
            shrunk = math.sqrt(height * width / self.max_pixels)
            rows = max(1, math.floor(height / shrunk / unit))
            columns = max(1, math.floor(width / shrunk / unit))
        elif area < self.min_pixels:
            grown = math.sqrt(self.min_pixels / (height * width))
            rows = math.ceil(height * grown / unit)
            columns = math.ceil(width * grown / unit)
        return rows, columns

    def told(self, kwargs: Mapping[str, Any]) -> "ImageRules":
        """As a request's `mm_processor_kwargs` has it. Raises ImageError for what they cannot say."""
        bounds = dict(kwargs)
        size = bounds.pop("size", {})
        if not isinstance(size, Mapping):
            raise ImageError("'size' must be an object")
        for edge in size:
            if edge not in _EDGES:
                raise ImageError(f"'size' has {', '.join(_EDGES)}, not {edge!r}")
        bounds = {_EDGES[edge]: value for edge, value in size.items()} | bounds
        for name, value in bounds.items():
            if name not in _EDGES.values():
                raise ImageError(f"{name!r} cannot be set; size, min_pixels and max_pixels can")
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ImageError(f"{name!r} must be a whole number of at least 1")
        rules = replace(self, **bounds)
        if rules.min_pixels > rules.max_pixels:
            raise ImageError(
                f"min_pixels {rules.min_pixels} is more than max_pixels {rules.max_pixels}"
            )
        return rules

    def processing(self, told: "ImageRules") -> str:
        """JSON for workers: what `told` has otherwise; empty where it is the same."""
        if told == self:
            return ""
        return json.dumps({"min_pixels": told.min_pixels, "max_pixels": told.max_pixels})


def rules_of(folder: Path) -> ImageRules | None:
    """None where the model reads no images. Raises SettingsError where it does, and does not say how."""
    config = _json(folder / "config.json")
    if config is None or config.get("model_type") not in MODEL_TYPES:
        return None
    processor = _processor(folder)
    size = processor.get("size") or {}
    try:
        return ImageRules(
            token_id=int(config["image_token_id"]),
            marks=tuple(
                int(config[f"{name}_token_id"]) for name in ("vision_start", "image", "vision_end")
            ),
            patch=int(processor.get("patch_size", 14)),
            merge=int(processor.get("merge_size", 2)),
            min_pixels=_bound(processor, size, "min_pixels", "shortest_edge", 56 * 56),
            max_pixels=_bound(processor, size, "max_pixels", "longest_edge", 28 * 28 * 1280),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SettingsError(
            f"{folder} does not say how the model reads images ({type(error).__name__}: {error})"
        ) from error


def _bound(processor: Mapping[str, Any], size: Any, name: str, edge: str, default: int) -> int:
    """By whichever name it has, in the order in which the model's own processor looks."""
    for place, key in ((processor, name), (size, edge), (size, name)):
        if place.get(key) is not None:
            return int(place[key])
    return default


def _processor(folder: Path) -> Mapping[str, Any]:
    for name in _FILES:
        found = _json(folder / name)
        if found is not None:
            inner = found.get("image_processor", found)
            return inner if isinstance(inner, dict) else {}
    raise SettingsError(
        f"{folder} has no {_FILES[0]}, which says how the model reads images; take the whole checkpoint"
    )


def _json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise SettingsError(f"{path} is not valid JSON: {error}") from error
    return value if isinstance(value, dict) else None
