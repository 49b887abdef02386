"""Where positions stand in prompts with images, and what the names of their blocks cover."""

from hypothesis import given
from hypothesis import strategies as st

from baton.core.block_hashes import HASH_BLOCK, Hashing, root_hash, stride_keys
from baton.core.kv_events import key_of
from baton.core.prompt_images import ImageSpan, block_salts, image_digest, rope_positions


@st.composite
def placed(draw: st.DrawFn) -> list[ImageSpan]:
    """Up to four images with text of any length between them."""
    spans: list[ImageSpan] = []
    at = 0
    for number in range(draw(st.integers(0, 4))):
        at += draw(st.integers(0, 40))
        spans.append(
            ImageSpan(at, draw(st.integers(1, 6)), draw(st.integers(1, 6)), bytes([number]) * 32)
        )
        at = spans[-1].end
    return spans


def test_text_alone_counts_on_by_one() -> None:
    assert rope_positions((), 3, 4) == [[3, 4, 5, 6]] * 3


def test_an_image_stands_at_one_time_and_text_goes_on_behind_its_longer_side() -> None:
    image = ImageSpan(2, 2, 3, b"")

    assert rope_positions([image], 0, 10) == [
        [0, 1, 2, 2, 2, 2, 2, 2, 5, 6],
        [0, 1, 2, 2, 2, 3, 3, 3, 5, 6],
        [0, 1, 2, 3, 4, 2, 3, 4, 5, 6],
    ]


@given(placed(), st.integers(0, 150), st.integers(0, 150))
def test_a_part_has_the_positions_of_the_whole(
    images: list[ImageSpan], start: int, count: int
) -> None:
    whole = rope_positions(images, 0, start + count)

    assert rope_positions(images, start, count) == [row[start:] for row in whole]


@given(placed())
def test_only_blocks_with_some_of_an_image_are_salted(images: list[ImageSpan]) -> None:
    salts = block_salts(images, 16)

    for block in range(20):
        held = [i for i in images if i.start < 16 * (block + 1) and 16 * block < i.end]
        assert salts.get(block, b"") == b"".join(image.digest for image in held)


@given(placed(), st.integers(0, 60))
def test_keys_of_strides_are_the_names_of_blocks(images: list[ImageSpan], more: int) -> None:
    tokens = [7] * (max([0, *(image.end for image in images)]) + more)
    chain = Hashing("f", 32).chain("s", "t", (), images)
    count = len(tokens) // 32
    keys = stride_keys(root_hash("f", "s", "t"), tokens, 2 * HASH_BLOCK, images)

    assert keys == [key_of(name) for name in chain.names(tokens, count)]


def test_other_content_changes_names_from_its_first_block_on() -> None:
    tokens = [7] * 96
    names = [
        Hashing("f", 16).chain("", "", (), [ImageSpan(20, 4, 5, digest)]).names(tokens, 6)
        for digest in (b"a" * 32, b"b" * 32)
    ]

    assert names[0][0] == names[1][0]
    assert not set(names[0][1:]) & set(names[1][1:])


def test_a_digest_tells_files_and_ways_of_processing_apart() -> None:
    told = [(b"ab", "c"), (b"b", "ca"), (b"ab", ""), (b"", "abc")]

    assert len({image_digest(data, processing) for data, processing in told}) == len(told)
