"""One hand-off in the model: both machines and what lies between them."""

from collections.abc import Callable

from baton.core.errors import UnavailableError
from kv_transfer import receiver_events as rev
from kv_transfer import sender_events as sev
from kv_transfer.receiver import ReceiverMachine
from kv_transfer.receiver_states import ReceiverState
from kv_transfer.sender import SenderMachine
from tests.support.kv_model_books import (
    BLOCK_SIZE,
    DIGEST,
    RECEIVER_LIMITS,
    Ground,
    Link,
    Message,
    PrefillLife,
    Question,
    Read,
    checksum,
)
from tests.support.kv_model_prefill import PrefillModel

PULL = 1  # its id


class HandOffModel(PrefillModel):
    """Each action checks what must always hold."""

    def __init__(
        self,
        world: Ground,
        transfer_id: str,
        num_tokens: int,
        cached: int = 0,
        cached_there: bool = False,
    ) -> None:
        """Decode has the first `cached` blocks already, if its pool had that many left."""
        super().__init__(world, transfer_id, num_tokens, cached_there)
        self.pulled: tuple[PrefillLife, SenderMachine | None] | None = None  # where the Pull went
        self.to_sender: list[Message] = []
        self.questions: list[Question] = []
        self._answers: dict[str, sev.Outcome] = {}  # the first of each process
        self.reads: dict[int, Read] = {}
        self.allocation_asked = 0
        self.place = world.decode
        self.gateway_lost = False  # and decode has not noticed yet
        self.peer = world.prefill  # whose memory decode has linked
        self.held = self.place.pool.take(cached, refs=1) or ()
        for position, block in enumerate(self.held):
            self.place.pool.content[block] = self.tag(position)
        self.machine = ReceiverMachine(
            self.peer.instance_id, DIGEST, BLOCK_SIZE, RECEIVER_LIMITS, world.now, self.held
        )
        self.targets = self.held
        self.delivered: rev.DeliverUsable | None = None
        self.failed: rev.Fail | None = None

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
        self.notice_closed()

    def notice_closed(self) -> None:
        """The sender learns of the end of a stream after its beginning, or of neither."""
        if self.pull_id is None or not self.world.prefill.alive:
            return
        self.pull_id = None
        pulls = [m for m in self.to_sender if m.what == "pull"]
        if pulls:
            self.to_sender.remove(pulls[0])
        else:
            self.tell(Message("the end of the pull", Link.CONTROL, self._pull_closed))

    def tell(self, message: Message) -> None:
        self.to_sender.append(message)

    def _pull_closed(self) -> None:
        if self.pulled is None:
            return
        life, machine = self.pulled
        if life.alive and machine is not None:
            self.do_sender(life.table.feed(machine, sev.PullClosed(PULL), self.world.now))

    def arrival(self, message: Message) -> Callable[[], None]:
        def arrive() -> None:
            self.to_sender.remove(message)
            message.arrive()

        return arrive

    def lose_message(self) -> None:
        kept = [m for m in self.to_sender if m.what != "abort"]  # streams lose nothing silently
        self.to_sender = kept

    def send_abort(self, reason: str, link: Link = Link.CONTROL) -> None:
        def arrive() -> None:
            table, now = self.world.prefill.table, self.world.now
            self.do_sender(table.abort(self.transfer_id, self.ticket, reason, now))

        if self.world.prefill.alive:
            self.to_sender += [Message("abort", link, arrive), Message("abort", link, arrive)]

    # Decode's side

    def receive(self, event: rev.ReceiverEvent) -> None:
        if not self.place.alive:
            return
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
                self.notice_closed()
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
        self.place.pool.release(blocks)

    def _open_pull(self) -> None:
        self.stream_open = True
        if not self.world.prefill.alive:
            self.stream.append(rev.PullBroken(UnavailableError("nobody there")))
            return
        self.pull_id = PULL

        def arrive() -> None:
            life, now = self.world.prefill, self.world.now
            if self.cached_there:
                self.open_prefill()
            machine, out = life.table.pull(self.transfer_id, self.ticket, PULL, now)
            self.pulled = life, machine
            self.do_sender(out)
            if self.cached_there and self.home is life:
                self.lend_cached()

        self.tell(Message("pull", Link.CONTROL, arrive))

    def _deliver(self, usable: rev.DeliverUsable) -> None:
        assert self.delivered is None
        assert self.failed is None
        assert not self.reads
        assert self.verdicts.count(sev.Outcome.OK) >= 1, "usable without the sender's OK"
        assert usable.blocks == self.targets
        read = [self.place.pool.content[block] for block in usable.blocks]
        assert read == [self.tag(position) for position in range(self.num_blocks)]
        self.delivered = usable

    def allocate(self) -> None:
        blocks = self.place.pool.take(self.allocation_asked, refs=1)
        self.allocation_asked = 0
        self.targets += blocks or ()
        self.receive(rev.BlocksAllocated(blocks) if blocks else rev.AllocationRefused())

    def copy(self, read_id: int) -> Callable[[], None]:
        def copy() -> None:
            read = self.reads[read_id]
            if read.cancelled:
                del self.reads[read_id]
                self.receive(rev.ReadFailed(read_id, "cancelled"))
                return
            source, target = read.sources.pop(0), read.targets.pop(0)
            assert self.place.pool.refs[target] > 0, "a byte landed in a free block"
            assert target in self.targets, "a byte landed in a foreign block"
            sent = self.peer.pool.content[source]
            self.place.pool.content[target] = "damaged" if read.damaged else sent
            read.damaged = False
            if not read.sources:
                del self.reads[read_id]
                self.receive(rev.ReadDone(read_id, self._wrong(read.start)))

        return copy

    def _wrong(self, read: rev.StartRead) -> tuple[int, ...]:
        found = [checksum(self.place.pool.content[block]) for block in read.target_blocks]
        return tuple(place for place, wanted in enumerate(read.checksums) if found[place] != wanted)

    def damage(self, read_id: int) -> Callable[[], None]:
        def damage() -> None:
            self.reads[read_id].damaged = True

        return damage

    def fail_read(self, read_id: int) -> Callable[[], None]:
        def fail() -> None:
            del self.reads[read_id]
            self.receive(rev.ReadFailed(read_id, "broken"))

        return fail

    # Confirm

    def can_ask(self, question: Question) -> bool:
        return self.world.prefill.alive and question.arrivals < (1 if not question.lost else 2)

    def ask(self, question: Question) -> Callable[[], None]:
        def ask() -> None:
            question.arrivals += 1
            before, life = len(self.verdicts), self.world.prefill
            self.do_sender(life.table.confirm(self.transfer_id, question.epoch, self.world.now))
            assert len(self.verdicts) == before + 1
            first = self._answers.setdefault(life.instance_id, self.verdicts[-1])
            assert self.verdicts[-1] is first, "a repeated question got another answer"
            if question.lost:
                return
            self.questions.remove(question)
            self._answer(rev.ConfirmAnswered(self.verdicts[-1] is sev.Outcome.OK))

        return ask

    def lose_question(self, question: Question) -> Callable[[], None]:
        def lose() -> None:
            question.lost = True
            self._answer(rev.ConfirmLost("lost"))

        return lose

    def _answer(self, event: rev.ReceiverEvent) -> None:
        if not self.machine.over:
            self.receive(event)
