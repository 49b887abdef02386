"""Names of prefixes: equal for equal prefixes, whatever the block size; never for unequal ones."""

import hashlib
import struct

from hypothesis import given
from hypothesis import strategies as st

from baton.core.block_hashes import HASH_BLOCK, Hashing, next_hash, root_hash

TOKENS = st.lists(st.integers(0, (1 << 32) - 1), min_size=0, max_size=200)


def names(tokens: list[int], block_size: int = 16, salt: str = "", tenant: str = "") -> list[bytes]:
    chain = Hashing("f", block_size).chain(salt, tenant)
    return list(chain.names(tokens, len(tokens) // block_size))


def test_the_names_are_a_chain_of_sha256_over_little_endian_tokens() -> None:
    root = hashlib.sha256(
        b"".join(struct.pack("<Q", len(part)) + part for part in (b"f", b"s", b"t"))
    ).digest()
    tokens = list(range(40))
    first = hashlib.sha256(root + struct.pack("<16I", *tokens[:16])).digest()
    second = hashlib.sha256(first + struct.pack("<16I", *tokens[16:32])).digest()
    assert names(tokens, salt="s", tenant="t") == [first, second]


@given(TOKENS)
def test_a_larger_block_has_the_name_of_its_last_hash_block(tokens: list[int]) -> None:
    assert names(tokens, 64) == names(tokens)[3::4]
    assert HASH_BLOCK == 16


@given(TOKENS, st.integers(0, 200), st.integers(0, 200))
def test_a_growing_sequence_gets_the_names_it_would_have_got_at_once(
    tokens: list[int], one: int, two: int
) -> None:
    chain = Hashing("f", 32).chain("", "")
    for end in sorted((one, two, len(tokens))):
        known = tokens[:end]
        chain.names(known, len(known) // 32)
    assert chain.names(tokens, len(tokens) // 32) == names(tokens, 32)


def test_nothing_is_hashed_twice() -> None:
    chain = Hashing("f", 16).chain("", "")
    before = list(chain.names([1] * 32, 2))
    assert chain.names([2] * 32 + [1] * 16, 3)[:2] == before, "only the new block is looked at"


def test_names_that_are_known_already_are_not_computed_again() -> None:
    before = names([1] * 32)
    chain = Hashing("f", 16).chain("", "", before)
    assert chain.names([2] * 32 + [3] * 16, 3) == names([1] * 32 + [3] * 16)


def test_a_copy_grows_by_itself() -> None:
    chain = Hashing("f", 16).chain("", "")
    chain.names([1] * 16, 1)
    other = chain.copy()
    assert chain.names([1] * 16 + [2] * 16, 2) == names([1] * 16 + [2] * 16)
    assert other.names([1] * 16 + [3] * 16, 2) == names([1] * 16 + [3] * 16)


@given(st.tuples(st.text(), st.text(), st.text()), st.tuples(st.text(), st.text(), st.text()))
def test_no_two_triples_share_a_root(one: tuple[str, str, str], two: tuple[str, str, str]) -> None:
    assert (root_hash(*one) == root_hash(*two)) == (one == two)


def test_text_that_moves_from_one_part_to_the_next_is_another_triple() -> None:
    assert len({root_hash(*t) for t in (("ab", "c", ""), ("a", "bc", ""), ("a", "b", "c"))}) == 3


@given(TOKENS, st.integers(0, 199))
def test_a_changed_token_changes_every_name_from_its_block_on(tokens: list[int], at: int) -> None:
    if at < len(tokens):
        changed = [*tokens[:at], tokens[at] ^ 1, *tokens[at + 1 :]]
        same = [a == b for a, b in zip(names(tokens), names(changed), strict=True)]
        assert same == [index < at // 16 for index in range(len(same))]


def test_a_name_depends_on_what_comes_before() -> None:
    block = list(range(16))
    assert next_hash(b"\0" * 32, block) != next_hash(b"\1" * 32, block)
