"""Embeddings of images as blocks: what an encode worker lends, and whom they are for.

A block holds `BLOCK_TOKENS` rows of one image, each of the model's width, one after the other; an
image begins a block of its own, and behind its last row the block is zeros.
"""

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import replace

from baton.core.block_hashes import root_hash
from baton.core.fingerprint import Fingerprint
from baton.core.layout import LayoutDescriptor
from baton.core.prompt_images import ImageSpan, PromptImage

BLOCK_TOKENS = 16


def embeddings_layout(width: int, dtype: str) -> LayoutDescriptor:
    """As large as blocks of embeddings are: a layout has keys and values, of half a width each here."""
    return LayoutDescriptor(1, 1, width // 2, BLOCK_TOKENS, dtype)


def embeddings_fingerprint(model: Fingerprint, width: int) -> Fingerprint:
    """What encode worker and reader must have in common. `model` is a reader's own; neither how its
    KV lies nor what its linear layers became at load changes an embedding.
    """
    dtype = model.layout.dtype
    return replace(
        model, dtype=dtype, layout=embeddings_layout(width, dtype), rope_digest="", numeric_class=""
    )


def encodes_for(encoder: Fingerprint, reader: Fingerprint) -> bool:
    """Whether embeddings of a worker with the one fingerprint are the other's."""
    return encoder == embeddings_fingerprint(reader, 2 * encoder.layout.head_dim)


def blocks_of(span: ImageSpan) -> int:
    return -(-span.num_tokens // BLOCK_TOKENS)


def distinct(images: Iterable[PromptImage]) -> tuple[PromptImage, ...]:
    """The first of each digest, in order: what is encoded, and lent, once."""
    first: dict[bytes, PromptImage] = {}
    for image in images:
        first.setdefault(image.span.digest, image)
    return tuple(first.values())


def block_names(
    fingerprint_digest: str, cache_salt: str, tenant: str, span: ImageSpan
) -> tuple[bytes, ...]:
    """Equal for equal content alone, wherever it stands; who may not share KV shares no image."""
    root = root_hash(fingerprint_digest, cache_salt, tenant) + span.digest
    return tuple(
        hashlib.sha256(root + struct.pack("<I", number)).digest()
        for number in range(blocks_of(span))
    )
