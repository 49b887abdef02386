"""What a worker's prefix cache gained and lost, as its gateways hear of it.

Only prefixes of a whole number of strides are told of, each by the first 64 bits of its name. A
cache gives up children before parents, so whoever holds one of them holds all before it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

STRIDE = 128  # tokens, where pool blocks divide it


def stride_of(block_size: int) -> int:
    """Tokens between two prefixes that are told of: strides at which a pool block ends too."""
    return math.lcm(STRIDE, block_size)


def key_of(name: bytes) -> int:
    """Of the prefix that ends with the block of this name."""
    return int.from_bytes(name[:8], "little")


@dataclass(frozen=True, slots=True)
class KvChange:
    """Consecutive events, each key where it is in the end. Events are numbered from 1 on, for the
    life of a worker's process.
    """

    after: int  # number of the last event before these
    upto: int  # number of the last of these
    snapshot: bool = (
        False  # what was told before is void: this, with `to_come`, is all that there is
    )
    to_come: int = 0  # keys of the same snapshot in the pieces behind this one
    stored: tuple[int, ...] = ()  # now in the pool
    removed: tuple[int, ...] = ()
    stored_on_host: tuple[int, ...] = ()  # now in host memory, which a lookup brings back
    removed_from_host: tuple[int, ...] = ()

    def __len__(self) -> int:
        """Keys in it."""
        return (
            len(self.stored)
            + len(self.removed)
            + len(self.stored_on_host)
            + len(self.removed_from_host)
        )

    def parts(self, most: int) -> Iterator["KvChange"]:
        """A snapshot in pieces of at most `most` keys."""
        if not self.snapshot or len(self) <= most:
            yield self
            return
        to_come, upto = len(self), self.upto
        yield KvChange(self.after, upto, snapshot=True, to_come=to_come)
        for at in range(0, len(self.stored), most):
            part = self.stored[at : at + most]
            to_come -= len(part)
            yield KvChange(upto, upto, to_come=to_come, stored=part)
        for at in range(0, len(self.stored_on_host), most):
            part = self.stored_on_host[at : at + most]
            to_come -= len(part)
            yield KvChange(upto, upto, to_come=to_come, stored_on_host=part)
