"""One hand-off in the model: both machines, what lies between, and what may happen next."""

from collections.abc import Callable

from baton.core.errors import UnavailableError
from baton.core.handoff import Epoch
from kv_transfer import receiver_events as rev
from kv_transfer import sender_events as sev
from kv_transfer.receiver import ReceiverMachine
from kv_transfer.receiver_states import ReceiverState
from kv_transfer.sender import SenderMachine
from kv_transfer.sender_states import TERMINAL, SenderState
from tests.support.kv_model_books import (
    BLOCK_SIZE,
    DIGEST,
    RECEIVER_LIMITS,
    Action,
    Ground,
    Question,
    Read,
    checksum,
)
from tests.support.kv_model_prefill import PrefillModel

PULL, STRANGER = 1, 1000  # pull ids
TICKET_USED = TERMINAL | {SenderState.PULLED, SenderState.SENT}


class Relay(PrefillModel):
    """Each action checks what must always hold."""

    def __init__(self, world: Ground, transfer_id: str, num_tokens: int, cached: int = 0) -> None:
        """Decode has the first `cached` blocks already, if its pool had that many left."""
        super().__init__(world, transfer_id, num_tokens)
        self.held = world.target.take(cached, refs=1) or ()
        for position, block in enumerate(self.held):
            world.target.content[block] = self.tag(position)
        self.pulled: SenderMachine | None = None  # where the Pull went
        self.to_sender: list[tuple[str, Callable[[], None]]] = []
        self.questions: list[Question] = []
        self.reads: dict[int, Read] = {}
        self.allocation_asked = 0
        self.machine = ReceiverMachine(
            "p", DIGEST, BLOCK_SIZE, RECEIVER_LIMITS, world.now, self.held
        )
        self.targets = self.held
        self.delivered: rev.DeliverUsable | None = None
        self.failed: rev.Fail | None = None

    # What may happen next

    def progress(self) -> list[Action]:
        actions = self.settle()
        engine = self.engine
        if self.lease is None and not self.prefill_refused and self.world.sender_alive:
            actions.append(("prefill opens", self.open_prefill))
        if self.lease and not engine.dropped and not engine.ended and self.world.sender_alive:
            if not engine.blocks:
                actions.append(("blocks are lent", self.lend))
            elif engine.computed < self.num_tokens:
                actions.append(("a chunk is computed", self.compute))
            else:
                actions.append(("prefill finishes", self.finish))
        if self.machine.state is ReceiverState.RESERVED:
            actions.append(("decode starts", lambda: self.receive(rev.Started())))
        return actions

    def settle(self) -> list[Action]:
        """What is under way and needs no new decision."""
        actions: list[Action] = []
        if self.engine.events and self.world.sender_alive:
            actions.append(("an engine event arrives", self.hear_engine))
        if self.stream:
            actions.append(("a stream message arrives", self.hear_stream))
        actions += [
            (f"{what} arrives", self._arrival(i)) for i, (what, _) in enumerate(self.to_sender)
        ]
        actions += [("confirm arrives", self._ask(q)) for q in self.questions if self._can_ask(q)]
        actions += [("a read goes on", self._copy(i)) for i in self.reads]
        if self.allocation_asked:
            actions.append(("blocks are allocated", self.allocate))
        if not self.world.sender_alive:
            actions += [("confirm is lost", self._lose(q)) for q in self.questions if not q.lost]
        return actions

    def faults(self) -> list[Action]:
        actions: list[Action] = [("decode gives up", self.give_up), ("a stranger", self.stranger)]
        if self.stream_open or self.pull_id is not None:
            actions.append(("the stream breaks", self.break_stream))
        if self.world.sender_alive:
            actions.append(("an abort is sent", lambda: self.send_abort("gateway")))
        if self.lease is not None:
            actions.append(("the gateway leaves", self.close_prefill))
            if not self.engine.ended and not self.engine.dropped and self.world.sender_alive:
                actions.append(("prefill fails", self.fail))
        if self.to_sender:
            actions.append(("a message is lost", self._lose_message))
        actions += [("confirm is lost", self._lose(q)) for q in self.questions if not q.lost]
        actions += [("a read fails", self._fail_read(i)) for i in self.reads]
        actions += [("a block changes on its way", self._damage(i)) for i in self.reads]
        return actions

    # The network

    def hear_stream(self) -> None:
        event = self.stream.popleft()
        if isinstance(event, rev.PullBroken):
            self.stream_open = False
        self.receive(event)

    def break_stream(self) -> None:
        """Each side notices in its own time; what was under way is lost."""
        self.stream.clear()
        if self.stream_open:
            self.stream.append(rev.PullBroken(UnavailableError("broken")))
        self._notice_closed()

    def _notice_closed(self) -> None:
        """The sender learns of the end of a stream after its beginning, or of neither."""
        if self.pull_id is None or not self.world.sender_alive:
            return
        self.pull_id = None
        pulls = [m for m in self.to_sender if m[0] == "pull"]
        if pulls:
            self.to_sender.remove(pulls[0])
        else:
            self.to_sender.append(("the end of the pull", self._pull_closed))

    def _pull_closed(self) -> None:
        if self.pulled is not None:
            table, now = self.world.table, self.world.now
            self.do_sender(table.feed(self.pulled, sev.PullClosed(PULL), now))

    def _arrival(self, index: int) -> Callable[[], None]:
        return lambda: self.to_sender.pop(index)[1]()

    def _lose_message(self) -> None:
        kept = [m for m in self.to_sender if m[0] != "abort"]  # streams lose nothing silently
        self.to_sender = kept

    def send_abort(self, reason: str) -> None:
        def arrive() -> None:
            table, now = self.world.table, self.world.now
            self.do_sender(table.abort(self.transfer_id, self.ticket, reason, now))

        if self.world.sender_alive:
            self.to_sender += [("abort", arrive), ("abort", arrive)]

    def stranger(self) -> None:
        """Shows a wrong ticket, replays a used one, guesses an epoch; must change nothing."""
        if not self.world.sender_alive or self.lease is None:
            return
        table, now, before = self.world.table, self.world.now, self.lease.state
        used = before in TICKET_USED
        for ticket in (b"wrong", self.ticket if used else b"also wrong"):
            _, out = table.pull(self.transfer_id, ticket, STRANGER, now)
            assert isinstance(out[-1], sev.RefusePull)
        assert sev.LeaseOver not in map(type, table.abort(self.transfer_id, b"wrong", "", now))
        stale = table.confirm(self.transfer_id, Epoch("p", 10_000), now)
        assert stale == [sev.AnswerConfirm(sev.Outcome.STALE)]
        assert self.lease.state is before

    # Decode's side

    def receive(self, event: rev.ReceiverEvent) -> None:
        for instruction in self.machine.handle(event, self.world.now):
            self._do_receiver(instruction)

    def give_up(self) -> None:
        self.receive(rev.AbortRequested("the client left"))

    def _do_receiver(self, instruction: rev.ReceiverInstruction) -> None:
        match instruction:
            case rev.OpenPull():
                self._open_pull()
            case rev.ClosePull():
                self.stream_open = False
                self.stream.clear()
                self._notice_closed()
            case rev.AllocateBlocks(num_blocks):
                self.allocation_asked = num_blocks
            case rev.StartRead(read_id, sources, targets):
                assert set(targets).isdisjoint(self.held), "what was here already is read"
                assert len(sources) == len(targets) > 0
                self.reads[read_id] = Read(instruction, list(sources), list(targets))
            case rev.CancelReads():
                for read in self.reads.values():
                    read.cancelled = True
            case rev.SendConfirm(epoch):
                self.questions.append(Question(epoch))
            case rev.SendAbort(reason):
                self.send_abort(reason)
            case rev.DeliverUsable():
                self._deliver(instruction)
            case rev.ReleaseBlocks(blocks):
                assert not self.reads, "blocks went back while bytes may land in them"
                self._give_back(blocks)
            case rev.Fail():
                assert self.failed is None
                assert self.delivered is None
                assert not self.reads
                self.failed = instruction

    def _give_back(self, blocks: tuple[int, ...]) -> None:
        """All of them at the end; before that only cached ones that the lease is too short for."""
        kept = self.targets[: -len(blocks)]
        assert kept + blocks == self.targets
        if self.machine.state is ReceiverState.FAILED:
            assert not kept
        else:
            assert set(blocks) <= set(self.held)
            assert len(kept) == self.num_tokens // BLOCK_SIZE
            self.held = kept
        self.targets = kept
        self.world.target.release(blocks)

    def _open_pull(self) -> None:
        self.stream_open = True
        if not self.world.sender_alive:
            self.stream.append(rev.PullBroken(UnavailableError("nobody there")))
            return
        self.pull_id = PULL

        def arrive() -> None:
            table, now = self.world.table, self.world.now
            self.pulled, out = table.pull(self.transfer_id, self.ticket, PULL, now)
            self.do_sender(out)

        self.to_sender.append(("pull", arrive))

    def _deliver(self, usable: rev.DeliverUsable) -> None:
        assert self.delivered is None
        assert self.failed is None
        assert not self.reads
        assert self.verdicts.count(sev.Outcome.OK) >= 1, "usable without the sender's OK"
        assert usable.blocks == self.targets
        read = [self.world.target.content[block] for block in usable.blocks]
        assert read == [self.tag(position) for position in range(self.num_blocks)]
        self.delivered = usable

    def allocate(self) -> None:
        blocks = self.world.target.take(self.allocation_asked, refs=1)
        self.allocation_asked = 0
        self.targets += blocks or ()
        self.receive(rev.BlocksAllocated(blocks) if blocks else rev.AllocationRefused())

    def _copy(self, read_id: int) -> Callable[[], None]:
        def copy() -> None:
            read = self.reads[read_id]
            if read.cancelled:
                del self.reads[read_id]
                self.receive(rev.ReadFailed(read_id, "cancelled"))
                return
            source, target = read.sources.pop(0), read.targets.pop(0)
            assert self.world.target.refs[target] > 0, "a byte landed in a free block"
            assert target in self.targets, "a byte landed in a foreign block"
            sent = self.world.source.content[source]
            self.world.target.content[target] = "damaged" if read.damaged else sent
            read.damaged = False
            if not read.sources:
                del self.reads[read_id]
                self.receive(rev.ReadDone(read_id, self._wrong(read.start)))

        return copy

    def _wrong(self, read: rev.StartRead) -> tuple[int, ...]:
        found = [checksum(self.world.target.content[block]) for block in read.target_blocks]
        return tuple(place for place, wanted in enumerate(read.checksums) if found[place] != wanted)

    def _damage(self, read_id: int) -> Callable[[], None]:
        def damage() -> None:
            self.reads[read_id].damaged = True

        return damage

    def _fail_read(self, read_id: int) -> Callable[[], None]:
        def fail() -> None:
            del self.reads[read_id]
            self.receive(rev.ReadFailed(read_id, "broken"))

        return fail

    # Confirm

    def _can_ask(self, question: Question) -> bool:
        return self.world.sender_alive and question.arrivals < (1 if not question.lost else 2)

    def _ask(self, question: Question) -> Callable[[], None]:
        def ask() -> None:
            question.arrivals += 1
            before = len(self.verdicts)
            out = self.world.table.confirm(self.transfer_id, question.epoch, self.world.now)
            self.do_sender(out)
            assert len(self.verdicts) == before + 1
            assert len(set(self.verdicts)) == 1, "a repeated question got another answer"
            if question.lost:
                return
            self.questions.remove(question)
            self._answer(rev.ConfirmAnswered(self.verdicts[-1] is sev.Outcome.OK))

        return ask

    def _lose(self, question: Question) -> Callable[[], None]:
        def lose() -> None:
            question.lost = True
            self._answer(rev.ConfirmLost("lost"))

        return lose

    def _answer(self, event: rev.ReceiverEvent) -> None:
        if not self.machine.over:
            self.receive(event)
