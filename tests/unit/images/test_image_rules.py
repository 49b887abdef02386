"""The number of tokens of an image is what the model's own processor makes of it."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
    Qwen2VLImageProcessorPil,
    smart_resize,
)

from baton.core.errors import SettingsError
from baton.images.errors import ImageError
from baton.images.image_rules import ImageRules, rules_of

RULES = ImageRules(
    token_id=7, marks=(6, 7, 8), patch=14, merge=2, min_pixels=56 * 56, max_pixels=28 * 28 * 1280
)


def test_grids_are_those_of_the_models_own_processor() -> None:
    rng = random.Random(0)
    for _ in range(3000):
        width, height = (round(4000 ** rng.random()) for _ in range(2))
        if max(width, height) > 200 * min(width, height):
            continue
        least = rng.choice([1, 56 * 56, 100_000])
        most = max(least, rng.choice([56 * 56, 28 * 28 * 1280, 12_845_056]))
        rules = RULES.told({"min_pixels": least, "max_pixels": most})
        theirs = smart_resize(height, width, 28, least, most)
        assert rules.grid(width, height) == (theirs[0] // 28, theirs[1] // 28)


@pytest.mark.parametrize("size", [(37, 100), (300, 20), (28, 28), (8, 1600)])
def test_the_processor_says_the_same_of_a_real_image(size: tuple[int, int]) -> None:
    read = Qwen2VLImageProcessorPil()(images=[Image.new("RGB", size)], return_tensors="np")

    rows, columns = RULES.grid(*size)
    assert read["image_grid_thw"].tolist() == [[1, 2 * rows, 2 * columns]]


def test_an_image_that_the_processor_would_refuse_is_refused() -> None:
    with pytest.raises(ImageError, match="200 times"):
        RULES.grid(201, 1)
    with pytest.raises(ValueError, match="aspect ratio"):
        smart_resize(1, 201)


@pytest.mark.parametrize(
    ("kwargs", "complaint"),
    [
        ({"patch_size": 7}, "'patch_size' cannot be set"),
        ({"min_pixels": "9"}, "'min_pixels' must be a whole number"),
        ({"max_pixels": 0}, "'max_pixels' must be"),
        ({"max_pixels": True}, "'max_pixels' must be"),
        ({"size": 4}, "'size' must be an object"),
        ({"size": {"height": 4}}, "not 'height'"),
        ({"min_pixels": 10**8}, "is more than max_pixels"),
    ],
)
def test_what_a_processor_cannot_be_told_is_named(kwargs: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ImageError, match=complaint):
        RULES.told(kwargs)


def test_a_request_is_told_to_workers_only_where_it_changes_something() -> None:
    told = RULES.told({"size": {"shortest_edge": 28 * 28, "longest_edge": 10**6}})

    assert (told.min_pixels, told.max_pixels) == (28 * 28, 10**6)
    assert RULES.told(json.loads(RULES.processing(told))) == told
    assert RULES.processing(RULES.told({})) == ""


TOKENS = {"vision_start_token_id": 6, "image_token_id": 7, "vision_end_token_id": 8}


def folder_with(folder: Path, processor: dict[str, Any] | None, **config: Any) -> Path:
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2_vl", **TOKENS, **config}))
    if processor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


@pytest.mark.parametrize(
    "bounds",
    [
        {"min_pixels": 100, "max_pixels": 900},
        {"size": {"shortest_edge": 100, "longest_edge": 900}},
        {"size": {"min_pixels": 100, "max_pixels": 900}},
        {"size": {"shortest_edge": 1, "longest_edge": 2}, "min_pixels": 100, "max_pixels": 900},
    ],
)
def test_bounds_are_read_by_each_of_their_names(tmp_path: Path, bounds: dict[str, Any]) -> None:
    rules = rules_of(folder_with(tmp_path, {"patch_size": 16, **bounds}))

    assert rules == ImageRules(7, (6, 7, 8), 16, 2, 100, 900)


def test_a_text_model_has_no_rules(tmp_path: Path) -> None:
    assert rules_of(tmp_path) is None
    assert rules_of(folder_with(tmp_path, None, model_type="qwen2")) is None


def test_a_checkpoint_that_does_not_say_how_it_reads_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"preprocessor_config\.json"):
        rules_of(folder_with(tmp_path, None))
    with pytest.raises(SettingsError, match="how the model reads images"):
        rules_of(folder_with(tmp_path, {}, image_token_id=None))
