"""What may be trained on, and what is kept back to be asked: decided by a hash, for ever."""

import hashlib
import random
from collections.abc import Callable
from enum import Enum
from typing import TypeVar

_ONE_IN = 10  # keys are held out
_ATTEMPTS = 2000

T = TypeVar("T")


class Split(Enum):
    TRAIN = "train"
    HELD_OUT = "held out"


def split_of(key: str) -> Split:
    """`key` names an item (operands, words) or a combination of an item and a phrasing."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return Split.HELD_OUT if int.from_bytes(digest) % _ONE_IN == 0 else Split.TRAIN


def drawn(
    rng: random.Random, split: Split, make: Callable[[random.Random], T], key: Callable[[T], str]
) -> T:
    """The first of `make`'s products whose key is in `split`.

    Raises RuntimeError when none came: what `make` draws from has no such key.
    """
    for _ in range(_ATTEMPTS):
        made = make(rng)
        if split_of(key(made)) is split:
            return made
    raise RuntimeError(f"nothing {split.value} came in {_ATTEMPTS} attempts")
