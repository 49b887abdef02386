"""Placeholders become as many tokens as images have."""

import pytest

from baton.core.errors import RequestError
from gateway.images.expansion import SizedImage, expand, expanded_length

ONE = SizedImage(b"1", b"d1", 2, 3)
TWO = SizedImage(b"2", b"d2", 1, 1, "{}")
PAD = 9


def test_each_placeholder_is_repeated_and_its_place_told() -> None:
    ids, images = expand([1, PAD, 2, PAD, 3], PAD, [ONE, TWO])

    assert ids == [1, *[PAD] * 6, 2, PAD, 3]
    assert len(ids) == expanded_length([1, PAD, 2, PAD, 3], [ONE, TWO])
    first, second = (image.span for image in images)
    assert (first.start, first.rows, first.columns, first.digest) == (1, 2, 3, b"d1")
    assert (second.start, second.num_tokens, second.digest) == (8, 1, b"d2")
    assert [image.data for image in images] == [b"1", b"2"]
    assert images[1].processing == "{}"


@pytest.mark.parametrize("ids", [[1, 2], [PAD], [PAD, PAD, PAD]])
def test_a_template_that_lost_an_image_or_a_text_that_has_its_mark_is_refused(
    ids: list[int],
) -> None:
    with pytest.raises(RequestError, match="places for 2 images") as refused:
        expand(ids, PAD, [ONE, TWO])
    assert refused.value.param == "messages"
