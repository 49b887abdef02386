"""A model of everything around the two machines: engines, pools, a network that loses and reorders.

No time passes and nothing runs unless the test says so. Each step checks what must always hold.
"""

from collections.abc import Callable

from kv_transfer import receiver_events as rev
from kv_transfer.sender_states import SenderState
from tests.support.kv_model_books import (
    SENDER_LIMITS,
    Action,
    DecodeLife,
    Ground,
    Link,
    Pool,
    PrefillLife,
)
from tests.support.kv_model_neighbour import Neighbour
from tests.support.kv_model_relay import Relay

KEEP_ALIVE = 6.0  # seconds: the longest time for which a silent peer is taken to be there


class World(Ground):
    """Two workers, their pools and any number of hand-offs between them."""

    def __init__(
        self, sender_blocks: int = 7, receiver_blocks: int = 7, checksums: bool = True
    ) -> None:
        super().__init__(sender_blocks, receiver_blocks, checksums)
        self.relays: list[Relay] = []
        self._sizes = sender_blocks, receiver_blocks
        self._lives = 1
        self.neighbours = [Neighbour("prefill"), Neighbour("decode")]

    def add(self, num_tokens: int, cached: int = 0, cached_there: bool = False) -> "Relay":
        relay = Relay(self, f"t{len(self.relays)}", num_tokens, cached, cached_there)
        self.relays.append(relay)
        return relay

    def progress(self) -> list[Action]:
        own: list[Action] = []
        if self.silent:
            own.append(("the network heals", self.silent.clear))
        return own + [action for relay in self.relays for action in relay.progress()]

    def faults(self) -> list[Action]:
        return self.own_faults() + [action for relay in self.relays for action in relay.faults()]

    def own_faults(self) -> list[Action]:
        """Those that befall every hand-off at once."""
        own: list[Action] = [("a second passes", lambda: self.advance(1.0))]
        own.append(("a long time passes", lambda: self.advance(20.0)))
        own.append(("the gateway dies", self.kill_gateway))
        own.append(("the sender comes back", self.restart_prefill))
        own.append(("decode comes back", self.restart_decode))
        own += [
            (f"{link.value} falls silent", self._silence(link))
            for link in Link
            if link not in self.silent
        ]
        if self.silent:
            own.append(("silence is noticed", self.notice_silence))
        if self.prefill.alive:
            own.append(("the sender dies", self.kill_prefill))
        if self.decode.alive:
            own.append(("decode dies", self.kill_decode))
        pools = (self.prefill.pool, self.decode.pool)
        own += [a for n, pool in zip(self.neighbours, pools, strict=True) for a in n.acts(pool)]
        return own

    def advance(self, seconds: float) -> None:
        self.now += seconds
        if self.prefill.alive:
            for machine, instructions in self.prefill.table.tick(self.now):
                relay = next(r for r in self.relays if r.transfer_id == machine.transfer_id)
                relay.do_sender(instructions)
        for relay in self.relays:
            relay.receive(rev.DeadlinePassed())

    def kill_prefill(self) -> None:
        """Its memory stays readable as it was, as a mapping of shared memory would."""
        self.prefill.alive = False
        for relay in self.relays:
            relay.to_sender.clear()
            relay.break_stream()
            relay.pull_id = None

    def restart_prefill(self) -> None:
        """Another process listens at the same address; it knows nothing of the first."""
        self.kill_prefill()
        self._lives += 1
        self.prefill = PrefillLife(self._lives, self._sizes[0])
        self.neighbours[0].forget()

    def kill_decode(self) -> None:
        """Its hand-offs are gone without a word; what it has sent may still arrive."""
        self.decode.alive = False
        for relay in self.relays:
            relay.die()

    def restart_decode(self) -> None:
        self.kill_decode()
        self.decode = DecodeLife(self._sizes[1])
        self.neighbours[1].forget()

    def kill_gateway(self) -> None:
        """Each worker notices in its own time."""
        for relay in self.relays:
            relay.lose_gateway()

    def notice_silence(self) -> None:
        """Keep-alive gives up on every silent link."""
        self.advance(KEEP_ALIVE)
        for relay in self.relays:
            relay.notice(self.silent)

    def _silence(self, link: Link) -> Callable[[], None]:
        return lambda: self.silent.add(link)

    def drain(self) -> None:
        """Lets everything come to its end: by its own bounds, with what is silent still silent;
        then without the gateway, which alone ends a prefill that waits; then on a healed network.
        """
        self._settle()
        self._check_bounds()
        self.kill_gateway()
        self.notice_silence()
        self._settle()
        self._check_free()
        self.silent.clear()  # what was held up arrives late
        self._settle()
        pools = (self.prefill.pool, self.decode.pool)
        for neighbour, pool in zip(self.neighbours, pools, strict=True):
            neighbour.leave(pool)

    def _settle(self) -> None:
        for _ in range(100):
            while actions := [a for r in self.relays for a in r.settle()]:
                actions[0][1]()
            if all(relay.over for relay in self.relays):
                break
            self.advance(20.0)
            self.notice_silence()
        self.advance(2 * SENDER_LIMITS.ttl_s)
        while actions := [a for r in self.relays for a in r.settle()]:
            actions[0][1]()

    def _check_bounds(self) -> None:
        """No wait on the other side is for ever."""
        assert all(relay.over for relay in self.relays)
        if self.prefill.alive:
            assert self.prefill.table.counts().waiting_pulls == 0
        states = {relay.lease.state for relay in self.relays if relay.lives and relay.lease}
        assert not states & {SenderState.READY, SenderState.SENT}

    def _check_free(self) -> None:
        if self.prefill.alive:
            assert self.prefill.table.counts().leased_blocks == 0


def free_but_for(pool: Pool, num_blocks: int) -> bool:
    return len(pool.free) == len(pool.refs) - num_blocks
