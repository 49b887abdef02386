"""Other requests of a worker in the model: they take what is free, write it, and leave."""

from tests.support.kv_model_books import Action, Pool


class Neighbour:
    """Puts a pool under pressure: freed blocks are somebody else's at once, and room runs out."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._blocks: tuple[int, ...] = ()

    def acts(self, pool: Pool) -> list[Action]:
        if self._blocks:
            return [(f"a neighbour at {self._where} leaves", lambda: self.leave(pool))]
        return [
            (f"a neighbour at {self._where} takes a block", lambda: self.take(pool, 1)),
            (
                f"a neighbour at {self._where} takes what is free",
                lambda: self.take(pool, len(pool.free)),
            ),
        ]

    def take(self, pool: Pool, num_blocks: int) -> None:
        self._blocks = pool.take(num_blocks, refs=1) or ()
        for block in self._blocks:
            pool.content[block] = (self._where, block)

    def leave(self, pool: Pool) -> None:
        """What it wrote must still be there."""
        for block in self._blocks:
            assert pool.content[block] == (self._where, block), "a neighbour's block was written"
        pool.release(self._blocks)
        self._blocks = ()

    def forget(self) -> None:
        """Its process is gone."""
        self._blocks = ()
