"""Workers of unequal fingerprint are told apart, with a sentence."""

from dataclasses import replace

from baton.core.fingerprint import Fingerprint
from baton.core.layout import LayoutDescriptor

ONE = Fingerprint(1, "aa", "", "bb", "float32", LayoutDescriptor(2, 2, 8, 16, "float32"), "cc")


def test_equal_fingerprints_have_equal_digests_and_no_difference() -> None:
    assert ONE.difference(replace(ONE)) is None
    assert ONE.digest() == replace(ONE).digest()


def test_a_difference_is_named_with_both_values() -> None:
    other = replace(ONE, model_digest="zz")
    assert ONE.difference(other) == "model_digest is 'aa' here and 'zz' there"
    assert ONE.digest() != other.digest()


def test_an_unequal_layout_differs() -> None:
    other = replace(ONE, layout=replace(ONE.layout, block_size=32))
    assert ONE.difference(other) == "layout.block_size is 16 here and 32 there"


def test_a_block_of_all_layers_is_one_run_of_known_size() -> None:
    layout = LayoutDescriptor(28, 8, 128, 16, "bfloat16")
    assert layout.block_bytes == 28 * 2 * 8 * 128 * 16 * 2
    assert [layout.blocks_for(n) for n in (1, 16, 17)] == [1, 1, 2]
