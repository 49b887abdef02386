"""Names for prefixes of token sequences: equal names mean equal tokens, model, salt and tenant.

A chain of SHA-256 over hash blocks of 16 tokens, in which each hash covers all that comes before
it. Whoever knows a worker's fingerprint computes the same names, whatever the pool's block size.
A block that holds tokens of an image covers the image's digest too: its tokens are all alike.
"""

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from baton.core.kv_events import key_of
from baton.core.prompt_images import ImageSpan, block_salts

HASH_BLOCK = 16  # tokens; every pool block is a multiple of it


@lru_cache(maxsize=1024)
def root_hash(fingerprint_digest: str, cache_salt: str, tenant: str) -> bytes:
    """Where a chain starts. Each part carries its length, so no two triples look alike."""
    state = hashlib.sha256()
    for part in (fingerprint_digest, cache_salt, tenant):
        data = part.encode()
        state.update(struct.pack("<Q", len(data)))
        state.update(data)
    return state.digest()


def next_hash(parent: bytes, tokens: Sequence[int], salt: bytes = b"") -> bytes:
    """Of the prefix that ends with `tokens`, each below 2**32; `parent` names what is before.

    `salt` as in `block_salts`.
    """
    return hashlib.sha256(parent + struct.pack(f"<{len(tokens)}I", *tokens) + salt).digest()


def stride_keys(
    root: bytes, tokens: Sequence[int], stride: int, images: Sequence[ImageSpan] = ()
) -> list[int]:
    """Of the prefixes of 1, 2, ... `stride` tokens, by which workers tell of them.

    `stride` is a multiple of HASH_BLOCK. All tokens are packed at once, for a gateway does this to
    every prompt: 32,000 tokens are 2,000 hashes.
    """
    end = len(tokens) // stride * stride
    data, step = struct.pack(f"<{end}I", *tokens[:end]), 4 * HASH_BLOCK
    keys, name = [], root
    salts = block_salts(images, HASH_BLOCK)
    for start in range(0, 4 * end, 4 * stride):
        for at in range(start, start + 4 * stride, step):
            salt = salts.get(at // step, b"")
            name = hashlib.sha256(name + data[at : at + step] + salt).digest()
        keys.append(key_of(name))
    return keys


@dataclass(frozen=True, slots=True)
class Hashing:
    """How one worker names its blocks."""

    fingerprint_digest: str
    block_size: int  # tokens of a pool block, a multiple of `hash_block`
    hash_block: int = HASH_BLOCK  # smaller only in tests

    def chain(
        self,
        cache_salt: str,
        tenant: str,
        known: Iterable[bytes] = (),
        images: Sequence[ImageSpan] = (),
    ) -> "HashChain":
        """`known` are the names of the first blocks, where a chain like this one gave them before."""
        root = root_hash(self.fingerprint_digest, cache_salt, tenant)
        salts = block_salts(images, self.hash_block)
        return HashChain(root, self.block_size, self.hash_block, known, salts)


class HashChain:
    """Names of the full pool blocks of one sequence that grows; nothing is hashed twice.

    The name of a pool block is that of its last hash block.
    """

    def __init__(
        self,
        root: bytes,
        block_size: int,
        hash_block: int = HASH_BLOCK,
        known: Iterable[bytes] = (),
        salts: Mapping[int, bytes] | None = None,
    ) -> None:
        """`salts` as `block_salts` gives them, by hash block."""
        self._root = root
        self._block_size = block_size
        self._hash_block = hash_block
        self._names = list(known)
        self._salts = salts or {}

    def names(self, tokens: Sequence[int], count: int) -> list[bytes]:
        """Of the first `count` blocks, all of them full.

        `tokens` is the whole sequence: what an earlier call gave, and perhaps more behind it.
        """
        while len(self._names) < count:
            self._names.append(self._name(tokens, len(self._names)))
        return self._names[:count]

    def copy(self) -> "HashChain":
        """For a sequence that begins with the same tokens and grows by itself."""
        return HashChain(self._root, self._block_size, self._hash_block, self._names, self._salts)

    def _name(self, tokens: Sequence[int], index: int) -> bytes:
        name = self._names[-1] if self._names else self._root
        start = index * self._block_size
        for at in range(start, start + self._block_size, self._hash_block):
            salt = self._salts.get(at // self._hash_block, b"")
            name = next_hash(name, tokens[at : at + self._hash_block], salt)
        return name
