"""How much may stand before a request's body."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """Of a request line and its headers."""

    size: int = 64 << 10  # bytes
    count: int = 256  # headers
