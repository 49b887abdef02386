"""Cached blocks from another worker: what a prompt begins with need not be computed twice."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence

from baton.core.errors import BatonError, RefusedError
from baton.core.handoff import PrefixSource
from baton.engine.blocks.block_pool import BlockPool
from baton.worker.room import Room
from kv_transfer.puller import Prefix, Puller
from kv_transfer.pulling import Pulled
from kv_transfer.receiver_events import ReceiverLimits

logger = logging.getLogger(__name__)

MIN_TOKENS = 64  # lacking; few are computed as fast as they are asked for, by a small model
ROOM_SECONDS = 30.0  # that blocks are set aside for one pull at most
# A request waits meanwhile that could be computed: what is cached is lent at once, or not at all.
LIMITS = ReceiverLimits(opening_s=3.0, receiving_s=10.0, confirming_s=5.0)

PULLED, NOT_NEEDED, NO_ROOM, FAILED = RESULTS = ("pulled", "not_needed", "no_room", "failed")


class PrefixPulls:
    """Call everything on the loop of the `puller`. The counts only grow."""

    def __init__(
        self,
        puller: Puller,
        blocks: BlockPool,
        block_size: int,
        short: Callable[[], bool],
        changed: Callable[[], None],
    ) -> None:
        """`short`: whether a work that is here lacks blocks; pulls would keep taking what comes free.
        `changed` is called when blocks were taken or given back.
        """
        self._puller = puller
        self._blocks = blocks
        self._block_size = block_size
        self._short = short
        self._changed = changed
        self.results = Counter(dict.fromkeys(RESULTS, 0))
        self.asked_tokens = 0  # not cached here, of prefixes that were asked for
        self.tokens = 0  # of them those that came

    async def fetch(self, names: Sequence[bytes], source: PrefixSource) -> Pulled | None:
        """Pulls what is lacking of the named blocks, as far as the source may have them, and lets
        the engine find it. Its blocks are the pool's again: whoever reads the prompt next takes
        them, as long as nobody needs the room.

        None: nothing came, for whatever reason, and the prompt is computed as ever. Raises nothing
        but CancelledError, behind which nothing is left.
        """
        wanted = tuple(names[: source.num_tokens // self._block_size])
        room = self._room(wanted)
        if room is None:
            self.results[NO_ROOM] += 1
            return None
        try:
            if room.reservation.count * self._block_size < MIN_TOKENS:
                self.results[NOT_NEEDED] += 1
                return None
            pulled = await self._pull(wanted, source, room)
        finally:
            room.close()
        if pulled is not None:
            self.publish(pulled.blocks, wanted)
        return pulled

    def _room(self, names: tuple[bytes, ...]) -> Room | None:
        if self._short():
            return None
        try:
            return Room.take(self._blocks, names, len(names), ROOM_SECONDS, self._changed)
        except RefusedError:
            return None

    async def _pull(
        self, names: tuple[bytes, ...], source: PrefixSource, room: Room
    ) -> Pulled | None:
        reservation = room.reservation
        self.asked_tokens += reservation.count * self._block_size
        try:
            pulled = await self._puller.pull(
                source.handoff,
                lambda count: self._blocks.allocate(count, reservation),
                self._release,
                room.take_cached(),
                Prefix(names, LIMITS),
            )
        except BatonError as error:
            self.results[FAILED] += 1
            logger.warning(
                "Transfer %s: no prefix came from %s, it is computed here: %s",
                source.handoff.transfer_id,
                source.handoff.address,
                error,
            )
            return None
        self.results[PULLED] += 1
        self.tokens += pulled.num_tokens - pulled.held_tokens
        return pulled

    def publish(self, blocks: tuple[int, ...], names: Sequence[bytes]) -> None:
        """Lets the engine find those that have names, the first ones. Gives the references on all of
        them back: a prompt that waits for its turn pins nothing, or two of
        them could keep each other waiting.
        """
        full = blocks[: len(names)]
        run = self._blocks.publish(full, names[: len(full)], parent=None)
        self._release((*run, *blocks[len(run) :]))

    def _release(self, blocks: tuple[int, ...]) -> None:
        self._blocks.release(blocks)
        self._changed()
