"""One member of the cluster as this gateway knows it: its connection, its load, our share of it."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing

from baton.core.errors import BatonError
from baton.core.kv_events import KvChange
from baton.core.room import Room
from baton.core.worker_info import Role, WorkerInfo, WorkerLoad, WorkerState
from baton.telemetry.request_context import apart
from gateway.members.worker_client import WorkerClient
from gateway.placing.candidate import Candidate
from gateway.placing.claims import Claim, Claims
from gateway.placing.fleet import Fleet
from gateway.placing.learned import Learned
from gateway.prefixes.prompt_chain import Naming

logger = logging.getLogger(__name__)

FIRST_PAUSE = 0.05  # seconds before the load is asked for again
LONGEST_PAUSE = 1.0
REFUSED_FOR = (
    1.0  # seconds, unless it tells what it has; an event that was lost must not keep it out
)


class Worker:
    """`load` is None while the worker cannot be reached. `revision` counts what may have changed
    its mind: a new load, or a request of ours that ended.
    """

    def __init__(
        self,
        info: WorkerInfo,
        client: WorkerClient,
        changed: Callable[[], None],
        restarts: int,
        hear: Callable[[KvChange], bool],
        learned: Learned,
        fleet: Fleet,
    ) -> None:
        """`hear` is told what its cache gains and loses, and returns False to be told everything
        anew. `fleet`: where it is a candidate, if it can be used.
        """
        self.info = info
        self.naming = Naming(info.fingerprint)
        self.client = client
        self.restarts = restarts  # of this worker id, as far as this gateway has lived to see
        self.load: WorkerLoad | None = None
        self.drains = False  # has said so: it takes nothing new, and what it has may go elsewhere
        self.unusable: str | None = None  # a sentence saying why
        self.in_flight = 0
        self._claims = Claims()
        self._remembering: asyncio.TimerHandle | None = None  # a refusal
        self.unread = 0  # tokens of our requests that are still to be computed there
        self._most_unread = 0  # of ours at once, since the last load was heard
        self._others_unread = 0  # of other gateways', by the latest load
        self.revision = 0
        self._fleet = fleet
        self._latest: Candidate | None = None  # `candidate`, while nothing has changed since
        self._changed = changed
        self._hear = hear
        self._learned = learned
        self._left = False
        self._lost = False  # and said so
        self._watching = self._follow()
        self._closing: asyncio.Task[None] | None = None

    @property
    def candidate(self) -> Candidate:
        if self._latest is None:
            self._latest = Candidate(
                self.info,
                self.load,
                self.in_flight,
                self.unread + self._others_unread,
                kind=self.naming.digest,
                speed=self._learned.speed(self.info.instance_id, self.naming.digest),
                room=self._claims.left,
            )
        return self._latest

    def take(self, unread: int = 0, claim: Claim | None = None) -> None:
        """`unread`: tokens that it is to compute before it gives the first one. `claim`: what it is
        about to be asked for.
        """
        self.in_flight += 1
        if claim is not None:
            self._claims.add(claim)
        self.unread += unread
        self._most_unread = max(self._most_unread, self.unread)
        self._outdate()

    def claim_for(self, tokens: int, choices: int, priority: int) -> Claim:
        """What a decode worker sets aside: the blocks of what is known and one more per choice."""
        blocks = self.info.fingerprint.layout.blocks_for(tokens) + choices
        return Claim(min(blocks, self.info.num_blocks), choices, priority)

    def has_read(self, tokens: int) -> None:
        """As many of what was `unread`."""
        self.unread -= tokens
        self._outdate()

    def has_left(self, room: Room | None, claim: Claim | None = None) -> None:
        """It has told what there is; `claim`, if any, is counted in it."""
        if room is not None:
            self._claims.hear(room)
        if claim is not None:
            self._claims.remove(claim)
        self._outdate()

    def has_refused(self, claim: Claim) -> None:
        """Until it tells what there is, or for a moment, nobody else asks for as much."""
        self._claims.remove(claim)
        self._claims.refused(claim)
        self._outdate()
        if self._remembering is not None:
            self._remembering.cancel()
        loop = asyncio.get_running_loop()
        self._remembering = loop.call_later(REFUSED_FOR, self._forget_refusals)

    def give_back(self, freed: bool = True, unread: int = 0, claim: Claim | None = None) -> None:
        """`freed`: the worker has more room than before, so that others may try it. `claim`: what it
        has not answered.
        """
        self.in_flight -= 1
        if claim is not None:
            self._claims.remove(claim)
        self.has_read(unread)
        if freed:
            self._touch()
        if self._left and self.in_flight == 0:
            self._start_closing()

    def received(
        self,
        source: str,
        num_bytes: int,
        now: float,
        transport: str,
        exposed: float | None = None,
    ) -> None:
        """KV, of the worker with that instance id; `exposed` as `LinkTraffic` has it."""
        own = self.info.instance_id
        self._learned.traffic.add(source, own, num_bytes, now, transport, exposed)

    def leave(self) -> None:
        """No longer a member: nothing new goes there; what is on its way ends by itself."""
        self._left = True
        self._watching.cancel()
        if self.in_flight == 0:
            self._start_closing()

    def hear_anew(self) -> None:
        """What its cache holds is asked for again, from the beginning. The load stands meanwhile."""
        if not self._left:
            self._watching.cancel()
            self._watching = self._follow()

    async def close(self) -> None:
        if self._remembering is not None:
            self._remembering.cancel()
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        await self.client.close()

    @property
    def closed(self) -> bool:
        return self._closing is not None and self._closing.done()

    def _start_closing(self) -> None:
        if self._closing is None:
            self._closing = apart(self.close(), name=f"close {self.info.worker_id}")

    def _follow(self) -> "asyncio.Task[None]":
        return apart(self._watch(), name=f"watch {self.info.worker_id}")

    async def _watch(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                if not await self._watch_once():  # the load stands
                    await asyncio.sleep(FIRST_PAUSE)
                    continue
            except BatonError as error:
                if self.load is not None:
                    self._lost = True
                    logger.warning("lost touch with %s: %s", self.info.worker_id, error)
            except Exception:  # the top of a task: without it the last load would stand for ever
                logger.exception("following %s failed", self.info.worker_id)
            if self.load is not None:
                pause = FIRST_PAUSE
            self._set_load(None)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _watch_once(self) -> bool:
        """Until the stream ends. False: events were lost; a new one begins with a snapshot."""
        async with aclosing(self.client.watch(self.info.instance_id)) as news:
            async for one in news:
                if isinstance(one, WorkerLoad):
                    self._set_load(one)
                elif not self._hear(one):
                    logger.info("%s: events of its cache were lost", self.info.worker_id)
                    return False
        return True

    def _set_load(self, load: WorkerLoad | None) -> None:
        if load is None and self.load is None:
            return
        if load is not None and self._lost:
            self._lost = False
            logger.warning("in touch with %s again", self.info.worker_id)
        self.load = load
        self.drains = load is not None and load.state is WorkerState.DRAINING
        if load is not None:
            if self.info.role is Role.DECODE:
                self.client.converse()
            self._learned.hear(self.info.instance_id, self.naming.digest, load.steps)
            self._claims.hear(load.room)
        # The load is of all gateways, and may tell of requests of ours that have been read since.
        self._others_unread = max(0, load.unread_tokens - self._most_unread) if load else 0
        self._most_unread = self.unread
        self._latest = None
        self._fleet.put(self.candidate)  # now, not when somebody waits for a decision
        self._touch()

    def _forget_refusals(self) -> None:
        self._claims.forget_refusals()
        self._outdate()
        self._touch()

    def _touch(self) -> None:
        self.revision += 1
        self._changed()

    def _outdate(self) -> None:
        self._latest = None
        self._fleet.outdated(self)
