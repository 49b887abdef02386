"""All hand-offs of one sending process: machines by transfer id, and what it remembers of old ones.

Pure, like the machines. Every entry returns the instructions to carry out, in order.
"""

from collections import OrderedDict
from dataclasses import dataclass
from itertools import count

from baton.core.errors import RefusedError
from baton.core.handoff import Epoch
from kv_transfer import sender_events as ev
from kv_transfer.sender import Instructions, SenderMachine
from kv_transfer.sender_states import SenderState

NOT_OPEN = frozenset({SenderState.NEW, SenderState.AWAITED})

PULLED = frozenset({SenderState.PULLED, SenderState.SENT})


@dataclass(frozen=True, slots=True)
class Hold:
    """The second kind of owner that a lease may have: nobody's stream, but a time."""

    seconds: float  # from one word to the next
    num_blocks: int


@dataclass(frozen=True, slots=True)
class SenderCounts:
    """The first four are readings, the others only grow, but for the last one."""

    open_leases: int  # hand-offs whose Prefill has come and that have not ended
    pulled_leases: int  # those of them that a Pull owns
    leased_blocks: int
    waiting_pulls: int  # whose Prefill has not come
    confirmed: int
    aborted: int
    expired: int
    refused_tickets: int
    reclaimed_blocks: int  # of leases that ended unconfirmed
    held_blocks: int = 0  # of leases that may outlive their Prefill's stream, computed or not

    @property
    def ended(self) -> dict[str, int]:
        """Hand-offs by how they ended, and refused tickets; for metrics."""
        return {
            "confirmed": self.confirmed,
            "aborted": self.aborted,
            "expired": self.expired,
            "refused_ticket": self.refused_tickets,
        }


class SenderTable:
    def __init__(self, instance_id: str, block_size: int, limits: ev.SenderLimits) -> None:
        self.instance_id = instance_id  # of epochs to come
        self._block_size = block_size
        self._limits = limits
        self._serials = count(1)
        self._live: dict[str, SenderMachine] = {}
        self._ended: OrderedDict[str, tuple[SenderMachine, float]] = OrderedDict()
        self._aborts: OrderedDict[tuple[str, bytes], float] = OrderedDict()
        self._ends = dict.fromkeys(SenderState, 0)
        self._refused_tickets = 0
        self._reclaimed_blocks = 0
        self._holds: dict[str, int] = {}  # blocks, by transfer id

    def open(
        self, transfer_id: str, ticket: bytes, now: float, hold: Hold | None = None
    ) -> tuple[SenderMachine, Instructions]:
        """A Prefill has come. The machine outlives its entry here: feed it late events, too.

        Raises RefusedError when the transfer is open already, over, or was aborted before it came,
        and when the blocks that are held beyond their Prefill's stream would become too many.
        """
        self._forget(now)
        if hold is not None and self._held_blocks + hold.num_blocks > self._limits.held_blocks:
            raise RefusedError("too many KV blocks are held here for others to come for them")
        if (transfer_id, ticket) in self._aborts:
            raise RefusedError(f"transfer {transfer_id} was aborted before its Prefill came")
        if transfer_id in self._ended:
            raise RefusedError(f"transfer {transfer_id} is over")
        machine = self._machine(transfer_id)
        if machine.state not in NOT_OPEN:
            raise RefusedError(f"transfer {transfer_id} is open already")
        opened = ev.PrefillOpened(ticket, hold.seconds if hold else 0.0)
        if hold is not None:
            self._holds[transfer_id] = hold.num_blocks
        return machine, self.feed(machine, opened, now)

    def pull(
        self, transfer_id: str, ticket: bytes, pull_id: int, now: float
    ) -> tuple[SenderMachine | None, Instructions]:
        """A Pull has come; the machine, if any, is to be told when its stream is gone."""
        self._forget(now)
        if (transfer_id, ticket) in self._aborts:
            return None, [ev.RefusePull(pull_id, ev.Refusal.ABORTED)]
        machine = self._machine(transfer_id)
        return machine, self.feed(machine, ev.PullOpened(pull_id, ticket), now)

    def confirm(self, transfer_id: str, epoch: Epoch, now: float) -> Instructions:
        machine = self._find(transfer_id)
        if machine is None:
            return [ev.AnswerConfirm(ev.Outcome.STALE)]
        return self.feed(machine, ev.ConfirmAsked(epoch), now)

    def renew(self, transfer_id: str, ticket: bytes, hold_s: float, now: float) -> Instructions:
        machine = self._live.get(transfer_id)
        if machine is None or machine.state in NOT_OPEN:
            return [ev.AnswerRenewal(0.0)]
        return self.feed(machine, ev.HoldRenewed(ticket, hold_s), now)

    def abort(self, transfer_id: str, ticket: bytes, reason: str, now: float) -> Instructions:
        self._forget(now)
        machine = self._find(transfer_id)
        if machine is None or machine.state in NOT_OPEN:
            self._aborts[transfer_id, ticket] = now
        return [] if machine is None else self.feed(machine, ev.AbortAsked(ticket, reason), now)

    def feed(self, machine: SenderMachine, event: ev.SenderEvent, now: float) -> Instructions:
        was_over = machine.over
        instructions = machine.handle(event, now)
        self._refused_tickets += sum(isinstance(i, ev.TicketRefused) for i in instructions)
        if machine.over and not was_over:
            if machine.state is not SenderState.CONFIRMED:
                self._reclaimed_blocks += sum(
                    len(i.blocks) for i in instructions if isinstance(i, ev.ReleaseBlocks)
                )
            self._bury(machine, now)
        elif machine.state is SenderState.NEW and self._live.get(machine.transfer_id) is machine:
            del self._live[machine.transfer_id]
        return instructions

    def tick(self, now: float) -> list[tuple[SenderMachine, Instructions]]:
        """Feeds whoever is due."""
        due = [m for m in self._live.values() if m.deadline is not None and m.deadline <= now]
        return [(machine, self.feed(machine, ev.Tick(), now)) for machine in due]

    @property
    def next_deadline(self) -> float | None:
        """When `tick` has something to do; None while nothing waits."""
        return min(
            (m.deadline for m in self._live.values() if m.deadline is not None), default=None
        )

    def counts(self) -> SenderCounts:
        """A reading, taken from any thread."""
        live = list(self._live.values())  # in one step: the dict may change meanwhile
        return SenderCounts(
            open_leases=sum(m.state not in NOT_OPEN for m in live),
            pulled_leases=sum(m.state in PULLED for m in live),
            leased_blocks=sum(len(m.blocks) for m in live),
            waiting_pulls=sum(m.waiting_pulls for m in live),
            confirmed=self._ends[SenderState.CONFIRMED],
            aborted=self._ends[SenderState.ABORTED],
            expired=self._ends[SenderState.EXPIRED],
            refused_tickets=self._refused_tickets,
            reclaimed_blocks=self._reclaimed_blocks,
            held_blocks=self._held_blocks,
        )

    @property
    def _held_blocks(self) -> int:
        return sum(list(self._holds.values()))

    def _find(self, transfer_id: str) -> SenderMachine | None:
        ended = self._ended.get(transfer_id)
        return ended[0] if ended else self._live.get(transfer_id)

    def _machine(self, transfer_id: str) -> SenderMachine:
        machine = self._find(transfer_id)
        if machine is None:
            epoch = Epoch(self.instance_id, next(self._serials))
            machine = SenderMachine(transfer_id, epoch, self._block_size, self._limits)
            self._live[transfer_id] = machine
        return machine

    def _bury(self, machine: SenderMachine, now: float) -> None:
        del self._live[machine.transfer_id]
        self._holds.pop(machine.transfer_id, None)
        self._ends[machine.state] += 1
        self._ended[machine.transfer_id] = (machine, now)
        while len(self._ended) > self._limits.tombstones:
            self._ended.popitem(last=False)

    def _forget(self, now: float) -> None:
        oldest = now - self._limits.tombstone_s
        while self._ended and next(iter(self._ended.values()))[1] < oldest:
            self._ended.popitem(last=False)
        while self._aborts and next(iter(self._aborts.values())) < oldest:
            self._aborts.popitem(last=False)
        while len(self._aborts) > self._limits.tombstones:
            self._aborts.popitem(last=False)
