"""What every block must hold, kept beside the scheduler: who wrote which token at which position."""

from collections.abc import Sequence

from baton.core.block_hashes import next_hash, root_hash
from baton.engine.plan import StepPlan
from baton.engine.sequence import Sequence as Run
from baton.engine.work import Work
from tests.support.engine_bench import Bench

Entry = tuple[str, str, int, int]  # salt, tenant, position, token


class BlockBooks:
    """Sees each plan before it runs and each copy, also to host memory and back. Knows nothing of
    how blocks are found.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._size = bench.limits.block_size
        self._held: dict[int, dict[int, Entry]] = {}  # by block and place in it
        self._owners: dict[bytes, tuple[str, str, tuple[int, ...]]] = {}
        bench.runner.before = self._check_plan
        self._slots: dict[int, dict[int, Entry]] = {}
        bench.pool.copied = self._copied
        if bench.slots is not None:
            bench.slots.kept = self._kept
            bench.slots.brought = self._brought

    def adopted(self, work: Work) -> None:
        """The blocks of a DECODE hold the KV of what it knows, wherever that was computed."""
        self._learn_names(work, work.known)
        for position, token in enumerate(work.known):
            block, place = self._place(work.blocks, position)
            assert self._held[block][place] == _entry(work, position, token)

    def check_names(self) -> None:
        """Each name that is in use leads to the tokens, salt and tenant that it stands for."""
        for name, entry in self._bench.blocks._books.cache._by_name.items():
            assert self._held[entry.block] == self._named(name)
        for name, kept in self._bench.blocks._host.tier._by_name.items():
            assert self._slots[kept.slot] == self._named(name)

    def _named(self, name: bytes) -> dict[int, Entry]:
        """What a block of this name holds."""
        salt, tenant, prefix = self._owners[name]
        start = len(prefix) - self._size
        return {
            place: (salt, tenant, start + place, prefix[start + place])
            for place in range(self._size)
        }

    def _learn_names(self, work: Work, tokens: Sequence[int]) -> None:
        """Worked out again from the tokens. No two owners share one."""
        name = root_hash("bench", work.cache_salt, work.tenant)
        for end in range(self._size, len(tokens) + 1, self._size):
            name = next_hash(name, tokens[end - self._size : end])
            owner = (work.cache_salt, work.tenant, tuple(tokens[:end]))
            assert self._owners.setdefault(name, owner) == owner

    def _check_plan(self, plan: StepPlan) -> None:
        picks = self._bench.scheduler._flying[0].picks
        for index, (sequence, piece) in enumerate(zip(picks, plan.slices, strict=True)):
            work = sequence.work
            if work.searches:
                assert picks.keys() >= set(self._bench.scheduler._works[work.key])
            self._learn_names(work, sequence.tokens)
            known = () if index in self._bench.runner.void else sequence.tokens[: piece.start]
            for position, token in enumerate(known):
                block, place = self._place(piece.blocks, position)
                assert self._held[block][place] == _entry(work, position, token)
            for position, token in enumerate(piece.tokens, piece.start):
                block, place = self._place(piece.blocks, position)
                self._check_writable(sequence, block)
                if not place:
                    self._held[block] = {}
                self._held[block][place] = _entry(work, position, token)

    def _check_writable(self, sequence: Run, block: int) -> None:
        """Nobody else reads it, but the one whom it was lent to: up to what he was told of."""
        pool = self._bench.blocks
        assert block not in pool._books.cache, "a published block would be written"
        assert pool._books.references[block] <= (2 if sequence.lends else 1)

    def _copied(self, source: int, target: int) -> None:
        self._held[target] = dict(self._held[source])

    def _kept(self, block: int, slot: int) -> None:
        self._slots[slot] = dict(self._held[block])

    def _brought(self, slot: int, block: int) -> None:
        self._held[block] = dict(self._slots[slot])

    def _place(self, blocks: tuple[int, ...], position: int) -> tuple[int, int]:
        index, place = divmod(position, self._size)
        return blocks[index], place


def _entry(work: Work, position: int, token: int) -> Entry:
    return work.cache_salt, work.tenant, position, token
