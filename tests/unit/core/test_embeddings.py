"""What encode worker and reader must have in common, and how blocks of embeddings are named."""

from dataclasses import replace

import pytest

from baton.core.embeddings import (
    block_names,
    blocks_of,
    distinct,
    embeddings_fingerprint,
    embeddings_layout,
    encodes_for,
)
from baton.core.fingerprint import Fingerprint
from baton.core.layout import LayoutDescriptor
from baton.core.prompt_images import ImageSpan, PromptImage

READER = Fingerprint(
    protocol=2,
    model_digest="m",
    revision="r",
    tokenizer_digest="t",
    dtype="bfloat16, int8 weights",
    layout=LayoutDescriptor(28, 4, 128, 32, "bfloat16"),
    rope_digest="rope",
)
ENCODER = embeddings_fingerprint(READER, 1536)


def test_a_block_is_so_many_rows_of_the_models_width() -> None:
    assert embeddings_layout(1536, "bfloat16").block_bytes == 16 * 1536 * 2


@pytest.mark.parametrize(
    "same",
    [
        {"layout": LayoutDescriptor(28, 4, 128, 16, "bfloat16")},
        {"dtype": "bfloat16"},
        {"rope_digest": "another"},
    ],
    ids=str,
)
def test_how_a_reader_keeps_its_kv_changes_no_embedding(same: dict[str, object]) -> None:
    assert encodes_for(ENCODER, replace(READER, **same))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other",
    [
        {"model_digest": "another"},
        {"revision": "another"},
        {"protocol": 3},
        {"layout": LayoutDescriptor(28, 4, 128, 32, "float32")},
    ],
    ids=str,
)
def test_what_changes_an_embedding_does_not_fit(other: dict[str, object]) -> None:
    assert not encodes_for(ENCODER, replace(READER, **other))  # type: ignore[arg-type]


def test_names_are_of_content_alone_and_of_one_tenant_and_salt() -> None:
    span = ImageSpan(3, 5, 7, b"d" * 32)
    names = block_names("f", "salt", "tenant", span)

    assert len(set(names)) == len(names) == blocks_of(span) == 3
    assert names == block_names("f", "salt", "tenant", replace(span, start=90))
    for others in (
        block_names("f", "", "tenant", span),
        block_names("f", "salt", "", span),
        block_names("g", "salt", "tenant", span),
        block_names("f", "salt", "tenant", replace(span, digest=b"e" * 32)),
    ):
        assert not set(names) & set(others)


def test_an_image_that_comes_twice_is_encoded_once() -> None:
    first, second, again = (
        PromptImage(ImageSpan(start, 1, 2, digest))
        for start, digest in ((0, b"a"), (4, b"b"), (8, b"a"))
    )
    assert distinct([first, second, again]) == (first, second)
