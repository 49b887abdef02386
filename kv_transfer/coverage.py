"""Which blocks of a prompt have been named: by position, never by count."""


class Coverage:
    """Positions 0 to `num_blocks` - 1, each to be covered exactly once."""

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self._covered: set[int] = set()

    def add(self, first: int, length: int) -> str | None:
        """A sentence when the range is empty, reaches outside or was covered before."""
        wanted = range(first, first + length)
        if length < 1:
            return f"an empty segment at block {first}"
        if first < 0 or wanted.stop > self.num_blocks:
            return f"blocks {first} to {wanted.stop - 1} of a prompt of {self.num_blocks}"
        if not self._covered.isdisjoint(wanted):
            return f"blocks {first} to {wanted.stop - 1} overlap what was named before"
        self._covered.update(wanted)
        return None

    @property
    def complete(self) -> bool:
        return len(self._covered) == self.num_blocks
