"""The gateway names prefixes as the workers do."""

import pytest

from baton.core.block_hashes import Hashing
from baton.core.fingerprint import Fingerprint
from baton.core.kv_events import key_of, stride_of
from gateway.prefixes.prompt_chain import Naming, PromptChain
from tests.support.gateway_members import make_fingerprint

TOKENS = tuple(range(1000, 1900))


def naming(block_size: int) -> Naming:
    plain = make_fingerprint()
    layout = type(plain.layout)(2, 2, 8, block_size, "float32")
    return Naming(Fingerprint(1, "m", "", "t", "float32", layout, "r"))


@pytest.mark.parametrize(
    ("block_size", "stride"), [(16, 128), (32, 128), (48, 384), (128, 128), (256, 256)]
)
def test_keys_are_those_of_the_blocks_that_end_a_stride(block_size: int, stride: int) -> None:
    how = naming(block_size)
    assert how.stride == stride_of(block_size) == stride
    chain = Hashing(how.digest, block_size).chain("salt", "tenant")
    names = chain.names(TOKENS, len(TOKENS) // block_size)
    every = stride // block_size
    expected = [key_of(name) for name in names[every - 1 :: every]]
    assert PromptChain(TOKENS, "salt", "tenant").keys(how) == expected
    assert len(expected) == 900 // stride


def test_the_last_token_is_always_computed() -> None:
    how = naming(16)
    assert len(PromptChain(TOKENS[:256]).keys(how)) == 1
    assert len(PromptChain(TOKENS[:257]).keys(how)) == 2
    assert PromptChain(TOKENS[:257]).keys(how)[:1] == PromptChain(TOKENS[:256]).keys(how)
    assert PromptChain(()).keys(how) == []


def test_salts_tenants_and_models_share_nothing() -> None:
    one, other = naming(16), naming(32)
    chain = PromptChain(TOKENS, "a")
    alike = [chain, PromptChain(TOKENS, "b"), PromptChain(TOKENS, "", "a"), PromptChain(TOKENS)]
    keys = [key for prompt in alike for how in (one, other) for key in prompt.keys(how)]
    assert len(set(keys)) == len(keys)


def test_a_prompt_that_reads_no_cache_has_tokens_and_no_keys() -> None:
    chain = PromptChain(TOKENS, reads_cache=False)
    assert len(chain) == 900
    assert chain.keys(naming(16)) == []
