"""What sequences hold of the pool: found in the cache, allocated, shared, published, given back."""

from baton.core.block_hashes import Hashing
from baton.engine.blocks.block_books import Published
from baton.engine.blocks.block_pool import BlockPool
from baton.engine.decision import CopyBlock
from baton.engine.limits import Limits
from baton.engine.sequence import Sequence


class BlockTables:
    """The scheduler's hands. Called by its thread; the counts are readable from any."""

    def __init__(self, pool: BlockPool, limits: Limits, hashing: Hashing | None) -> None:
        """`hashing` None: nothing is published and nothing found."""
        self._pool = pool
        self._limits = limits
        self._hashing = hashing
        self._in_step = False  # one is under way: it reads and writes what tables named then
        self._held: list[int] = []  # given back meanwhile
        self.cache_queries = 0  # prompt tokens looked up, only grows
        self.cache_hits = 0  # of those found, only grows

    @property
    def kv_number(self) -> int:
        """Of the latest event of the prefix cache."""
        return self._pool.kv_number

    @property
    def free(self) -> int:
        return self._pool.free

    @property
    def held(self) -> tuple[int, ...]:
        """Blocks that nobody needs any more but a step under way, one reference each."""
        return tuple(self._held)

    def step_begins(self) -> None:
        """What is given back from here on stays ours until that step is over."""
        self._in_step = True

    def step_over(self, another: bool) -> None:
        """`another`: was begun meanwhile, before what is given back from here on."""
        held, self._held = self._held, []
        self._pool.release(held)
        self._in_step = another

    def begin(self, sequence: Sequence) -> None:
        """Before anything else is asked for a sequence of a new work."""
        if self._hashing is not None:
            work = sequence.work
            sequence.chain = self._hashing.chain(
                work.cache_salt, work.tenant, work.names, work.images
            )

    def adopt(self, sequence: Sequence, blocks: tuple[int, ...], num_computed: int) -> None:
        """Takes over the references on blocks that were computed elsewhere."""
        sequence.blocks = list(blocks)
        sequence.num_computed = num_computed
        self.publish(sequence)

    def seat(self, sequence: Sequence, budget: int) -> bool:
        """For one that holds nothing: what is cached, and new blocks for a chunk after it.

        False, and nothing taken, unless there is room for all that it knows and the next token, of
        each of its beams: it would soon be preempted again. One that lends gets the whole prompt's at once: a reader may
        follow while they are computed.
        """
        room = self._limits.blocks_to_seat(sequence.work, len(sequence.tokens))
        run = self._pool.take_cached(self._wanted(sequence), room)
        if run is None:
            return False
        sequence.blocks, sequence.published = list(run), list(run)
        sequence.num_computed = len(run) * self._limits.block_size
        whole = sequence.lends
        count = sequence.remaining if whole else sequence.chunk(budget, self._limits.block_size)
        if not self.extend(sequence, count):  # another thread was faster
            self.release(sequence)
            return False
        return True

    def count_admission(self, sequence: Sequence) -> None:
        """Of a prompt that was just seated, once."""
        if sequence.chain is not None and sequence.work.finds_cache:
            self.cache_queries += len(sequence.tokens)
            self.cache_hits += sequence.num_computed

    def extend(self, sequence: Sequence, count: int) -> bool:
        """Blocks for `count` more tokens; False, and nothing changed, when there are too few."""
        needed = self.lacking(sequence, count)
        if not needed:
            return True
        if (got := self._pool.allocate(needed)) is None:
            return False
        sequence.blocks += got
        return True

    def lacking(self, sequence: Sequence, count: int) -> int:
        """Blocks that `extend` would take."""
        wanted = self._limits.blocks_for(sequence.num_computed + count)
        return max(0, wanted - len(sequence.blocks))

    def trim(self, sequence: Sequence, flying: int = 0) -> None:
        """Gives back blocks for tokens that are not computed now, of which steps under way compute
        `flying`; of one that lends, none.
        """
        if not sequence.lends:
            kept = self._limits.blocks_for(sequence.num_computed + flying)
            surplus = sequence.blocks[kept:]
            del sequence.blocks[kept:]
            self._give_back(surplus)

    def could_seat(self, sequence: Sequence, victims: list[Sequence]) -> bool:
        """Whether there may be room if all of these gave their blocks up."""
        given = sum(len(victim.blocks) for victim in victims)
        needed = self._limits.blocks_to_seat(sequence.work, len(sequence.tokens))
        return needed <= self._pool.free + given

    def share(self, parent: Sequence, child: Sequence) -> list[CopyBlock] | None:
        """The child reads the parent's full blocks and gets a copy of the partial one.

        Returns what is to be copied; None, and nothing changed, without a block for it.
        """
        num_full, tail = divmod(parent.num_computed, self._limits.block_size)
        private = self._pool.allocate(1 if tail else 0)
        if private is None:
            return None
        shared = parent.blocks[:num_full]
        self._pool.retain(shared)
        child.blocks = [*shared, *private]
        child.published = list(parent.published)
        child.num_computed = parent.num_computed
        return [CopyBlock(parent.blocks[num_full], block) for block in private]

    def lend(self, sequence: Sequence) -> tuple[int, ...]:
        """The whole table, with one reference more on each block for whoever reads it."""
        blocks = tuple(sequence.blocks)
        self._pool.retain(blocks)
        return blocks

    def publish(self, sequence: Sequence) -> None:
        """Lets others find the full blocks of what is computed. Call it after a sound step.

        Where another sequence was first with the same tokens, its block takes the place of ours,
        except in a table that is lent.
        """
        if sequence.chain is None:
            return
        num_full = sequence.num_computed // self._limits.block_size
        done = len(sequence.published)
        if done >= num_full:
            return
        names = sequence.chain.names(sequence.tokens, num_full)
        parent = Published(sequence.published[-1], names[done - 1]) if done else None
        full = sequence.blocks[done:num_full]
        if self._in_step:  # it may read those that are swapped
            self._pool.retain(full)
            self._held += full
        run = self._pool.publish(full, names[done:], parent, may_swap=not sequence.lends)
        sequence.published += run
        if not sequence.lends:
            sequence.blocks[done : done + len(run)] = run

    def keep(self, sequence: Sequence) -> None:
        """Before its end: what it has published is wanted again soon."""
        if sequence.published and sequence.work.keep_seconds:
            self._pool.keep(sequence.published[-1], sequence.work.keep_seconds)

    def withdraw(self, sequence: Sequence) -> None:
        """What it has read or written may be unsound: nobody shall find it any more."""
        self._pool.withdraw(sequence.blocks)

    def release(self, sequence: Sequence) -> None:
        self._give_back(sequence.blocks)
        sequence.blocks, sequence.published = [], []
        sequence.num_computed = 0

    def _give_back(self, blocks: list[int]) -> None:
        if self._in_step:
            self._held += blocks
        else:
            self._pool.release(blocks)

    def _wanted(self, sequence: Sequence) -> list[bytes]:
        """Not the last token: something must be computed to draw from."""
        if sequence.chain is None or not sequence.work.finds_cache:
            return []
        num_full = (len(sequence.tokens) - 1) // self._limits.block_size
        return sequence.chain.names(sequence.tokens, num_full)
