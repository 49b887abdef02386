"""The noise of sampling: a hash of (seed + choice, position, token id), not a generator's state.

No state crosses the hand-off, and no draw depends on the batch. The mixing step is the finaliser
of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014); the
engine repeats it on integer tensors, and a test holds the two together.
"""

import math

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB


def mix(x: int) -> int:
    """A bijection of 64-bit integers whose output bits depend on every input bit."""
    x = (x + GOLDEN) & MASK
    x = ((x ^ (x >> 30)) * MIX_1) & MASK
    x = ((x ^ (x >> 27)) * MIX_2) & MASK
    return x ^ (x >> 31)


def row_key(seed: int, choice: int, position: int) -> int:
    """The 64-bit key of one draw; choice i of seed s is choice 0 of seed s + i."""
    return mix(mix((seed + choice) & MASK) ^ position)


def uniform(key: int, token_id: int) -> float:
    """In (0, 1), never at an end: 52 bits, centred, so that float64 holds the sum exactly."""
    return ((mix(key ^ token_id) >> 12) + 0.5) * 2.0**-52


def gumbel(key: int, token_id: int) -> float:
    """Standard Gumbel noise of one candidate token."""
    return -math.log(-math.log(uniform(key, token_id)))
