"""From a URL to a sized image, or to a 400 that says which one and why."""

import base64
from typing import Any

import pytest

from baton.core.errors import RequestError, SettingsError
from baton.core.prompt_images import image_digest
from baton.images.image_rules import ImageRules
from gateway.images.bounds import ImageBounds
from gateway.images.desk import ImageDesk
from gateway.images.fetching import ImageFetcher
from gateway.images.media_hosts import MediaHosts
from gateway.images.settings import ImageSettings
from gateway.schema.image_part import ImagePart
from tests.support.images import image_file

RULES = ImageRules(5, (3, 5, 4), 4, 2, 256, 4096)
BOUNDS = ImageBounds(images=2, bytes=20_000, pixels=10_000)


def desk(rules: ImageRules | None = RULES, *, trusts_kwargs: bool = False) -> ImageDesk:
    fetcher = ImageFetcher(MediaHosts([]), 1.0)
    return ImageDesk(rules, BOUNDS, fetcher, trusts_kwargs=trusts_kwargs)


def part(data: bytes, mime: str = "image/png") -> ImagePart:
    return ImagePart(url=f"data:{mime};base64,{base64.b64encode(data).decode()}")


async def test_an_image_has_the_size_that_the_model_sees() -> None:
    one, two = image_file(40, 24), image_file(64, 64, format="JPEG")
    images = await desk().read([part(one), part(two, "image/jpg")], None)

    assert [(image.rows, image.columns) for image in images] == [(3, 5), (8, 8)]
    assert [image.data for image in images] == [one, two]
    assert images[0].digest == image_digest(one, "")


async def test_bounds_of_a_request_change_size_and_digest() -> None:
    data = image_file(64, 64)
    [image] = await desk(trusts_kwargs=True).read([part(data)], {"max_pixels": 1024})

    assert (image.rows, image.columns) == (4, 4)
    assert image.digest == image_digest(data, image.processing) != image_digest(data, "")


REFUSED: dict[str, tuple[list[ImagePart], str]] = {
    "a wrong type": ([part(image_file(9, 9), "image/jpeg")], "said to be image/jpeg, but it is"),
    "no image": ([part(b"#!/bin/sh")], "no JPEG, PNG"),
    "no bytes": ([part(b"")], "no JPEG, PNG"),
    "too many pixels": ([part(image_file(101, 100))], "at most 10000"),
    "too large": ([ImagePart(url="data:image/png;base64," + "A" * 100_000)], "larger than 20000"),
    "too long": ([part(image_file(4000, 2))], "200 times"),
    "too many": ([part(image_file(9, 9))] * 3, "at most 2 are read"),
    "a host": ([ImagePart(url="http://127.0.0.1/a.png")], "nothing is fetched from 127.0.0.1:80"),
    "a file": ([ImagePart(url="file:///etc/passwd")], "must be a data: URL"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_refused_is_a_400_that_says_why(name: str) -> None:
    parts, why = REFUSED[name]

    with pytest.raises(RequestError, match=why) as refused:
        await desk().read(parts, None)
    assert refused.value.param == "messages"


async def test_all_images_of_a_request_share_its_bytes() -> None:
    large = image_file(90, 90, format="PNG", compress_level=0)
    assert BOUNDS.bytes // 2 < len(large) < BOUNDS.bytes * 2

    with pytest.raises(RequestError, match=r"image [12] is refused: it is larger"):
        await desk().read([part(large), part(large)], None)


@pytest.mark.parametrize(
    ("rules", "trusts", "kwargs", "why"),
    [
        (None, True, {"max_pixels": 9}, "not a multimodal model"),
        (RULES, False, {"max_pixels": 9}, "--trust-request-mm-kwargs"),
        (RULES, True, {"fps": 1}, "'fps' cannot be set"),
        (RULES, True, {"max_pixels": -1}, "at least 1"),
    ],
)
async def test_kwargs_are_refused_by_name_even_without_an_image(
    rules: ImageRules | None, trusts: bool, kwargs: dict[str, Any], why: str
) -> None:
    with pytest.raises(RequestError, match=why) as refused:
        await desk(rules, trusts_kwargs=trusts).read([], kwargs)
    assert refused.value.param == "mm_processor_kwargs"


async def test_a_text_model_reads_no_image() -> None:
    with pytest.raises(RequestError, match="not a multimodal model"):
        await desk(None).read([part(image_file(9, 9))], None)
    assert await desk(None).read([], {}) == []


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"allowed_media_domains": ("http://a",)}, "--allowed-media-domains"),
        ({"image_fetch_seconds": 0.0}, "--image-fetch-seconds"),
        ({"max_image_bytes": 1 << 30}, "--max-image-bytes"),
        ({"max_image_pixels": 1 << 40}, "--max-image-pixels"),
        ({"limit_mm_per_prompt": {"smell": 1}}, "smell"),
        ({"limit_mm_per_prompt": {"video": 1}}, "no model here reads any"),
        ({"limit_mm_per_prompt": {"image": "2"}}, "whole number"),
    ],
)
def test_settings_that_cannot_act_stop_the_start(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        ImageSettings(**settings).check()


def test_settings_bound_what_a_request_may_have() -> None:
    settings = ImageSettings(limit_mm_per_prompt={"image": 3, "video": 0}, max_image_bytes=5)
    settings.check()

    assert settings.bounds == ImageBounds(3, 5, 1 << 25)
    assert ImageSettings().bounds.images == 16
