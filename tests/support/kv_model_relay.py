"""What may happen next to one hand-off of the model, deaths and strangers included."""

import pytest

from baton.core.errors import RefusedError
from baton.core.handoff import Epoch
from kv_transfer import receiver_events as rev
from kv_transfer import sender_events as sev
from kv_transfer.receiver_states import ReceiverState
from kv_transfer.sender_states import TERMINAL, SenderState
from tests.support.kv_model_books import (
    Action,
    Link,
    Message,
)
from tests.support.kv_model_handoff import HandOffModel

STRANGER = 1000  # its pull's id
TICKET_USED = TERMINAL | {SenderState.PULLED, SenderState.SENT}


class Relay(HandOffModel):
    """A hand-off to which things happen."""

    # What may happen next

    def progress(self) -> list[Action]:
        actions = self.settle()
        engine = self.engine
        reached = self.world.prefill.alive and Link.GATEWAY_PREFILL not in self.world.silent
        if self.lease is None and not (self.prefill_refused or self.cached_there) and reached:
            actions.append(("prefill opens", self.open_prefill))
        if self.lease and not engine.dropped and not engine.ended and self.lives:
            if not engine.blocks:
                actions.append(("blocks are lent", self.lend))
            elif engine.computed < self.num_tokens:
                actions.append(("a chunk is computed", self.compute))
            else:
                actions.append(("prefill finishes", self.finish))
        reached = self.place.alive and Link.GATEWAY_DECODE not in self.world.silent
        if self.machine.state is ReceiverState.RESERVED and reached:
            actions.append(("decode starts", lambda: self.receive(rev.Started())))
        return actions

    def settle(self) -> list[Action]:
        """What is under way and needs no new decision."""
        silent = self.world.silent
        actions: list[Action] = []
        if self.engine.events and self.lives:
            actions.append(("an engine event arrives", self.hear_engine))
        if self.stream and (Link.CONTROL not in silent or self._only_noticed):
            actions.append(("a stream message arrives", self.hear_stream))
        actions += [
            (f"{message.what} arrives", self.arrival(message))
            for message in self.to_sender
            if message.link not in silent
        ]
        if Link.CONTROL not in silent:
            asked = [q for q in self.questions if self.can_ask(q)]
            actions += [("confirm arrives", self.ask(q)) for q in asked]
        if Link.DATA not in silent:
            actions += [("a read goes on", self.copy(i)) for i in self.reads]
        if self.allocation_asked:
            actions.append(("blocks are allocated", self.allocate))
        if self.gateway_lost:
            actions.append(("decode misses the gateway", self._miss_gateway))
        if not self.world.prefill.alive:
            actions += [
                ("confirm is lost", self.lose_question(q)) for q in self.questions if not q.lost
            ]
        return actions

    def faults(self) -> list[Action]:
        actions: list[Action] = [("decode gives up", self.give_up), ("a stranger", self.stranger)]
        if self.stream_open or self.pull_id is not None:
            actions.append(("the stream breaks", self.break_stream))
        if self.world.prefill.alive:
            link = Link.GATEWAY_PREFILL
            actions.append(("an abort is sent", lambda: self.send_abort("gateway", link)))
        actions.append(("more time is asked for", self.renew))
        if self.lease is not None:
            actions.append(("the gateway leaves", self.close_prefill))
            if not self.engine.ended and not self.engine.dropped and self.lives:
                actions.append(("prefill fails", self.fail))
        if self.to_sender:
            actions.append(("a message is lost", self.lose_message))
        actions += [
            ("confirm is lost", self.lose_question(q)) for q in self.questions if not q.lost
        ]
        actions += [("a read fails", self.fail_read(i)) for i in self.reads]
        if self.world.checksums:  # else nobody would notice
            actions += [("a block changes on its way", self.damage(i)) for i in self.reads]
        return actions

    # Deaths and silence

    def lose_gateway(self) -> None:
        self.gateway_lost = True
        if self.lives:
            self.tell(Message("the gateway's end", Link.GATEWAY_PREFILL, self.close_prefill))

    def _miss_gateway(self) -> None:
        self.gateway_lost = False
        self.give_up()

    def notice(self, silent: set[Link]) -> None:
        """Keep-alive has given up on these links. What was under way on them may come later."""
        if Link.GATEWAY_PREFILL in silent:
            self.close_prefill()
        if Link.GATEWAY_DECODE in silent:
            self.give_up()
        if Link.DATA in silent:
            for read_id in list(self.reads):
                self.fail_read(read_id)()
        if Link.CONTROL in silent:
            self.break_stream()
            for message in [m for m in self.to_sender if m.what == "the end of the pull"]:
                self.arrival(message)()
            for question in [q for q in self.questions if not q.lost]:
                self.lose_question(question)()

    def die(self) -> None:
        """Decode's process is gone: what it held and knew is nowhere."""
        if self.place.alive:
            return  # of a later life
        self.stream.clear()
        self.stream_open = False
        self.allocation_asked = 0
        self.reads.clear()
        self.gateway_lost = False
        for question in self.questions:
            question.lost = True
        self.notice_closed()

    @property
    def over(self) -> bool:
        """Decode has come to an end with it."""
        return self.machine.over or not self.place.alive

    @property
    def _only_noticed(self) -> bool:
        """What is left is decode's own knowledge that the stream is gone."""
        return all(isinstance(event, rev.PullBroken) for event in self.stream)

    # Strangers

    def stranger(self) -> None:
        """Shows a wrong ticket, replays a used one, guesses an epoch, repeats the Prefill; must
        change nothing. Before the Prefill its Pull may wait, with a stream that never ends.
        """
        if self.lease is None and self.world.prefill.alive:
            table, now = self.world.prefill.table, self.world.now
            self.do_sender(table.pull(self.transfer_id, b"wrong", STRANGER, now)[1])
            return
        if not self.lives or self.home is not self.world.prefill or self.lease is None:
            return
        table, now, before = self.home.table, self.world.now, self.lease.state
        with pytest.raises(RefusedError):
            table.open(self.transfer_id, self.ticket, now)
        used = before in TICKET_USED
        for ticket in (b"wrong", self.ticket if used else b"also wrong"):
            _, out = table.pull(self.transfer_id, ticket, STRANGER, now)
            assert [sev.RefusePull] == [type(i) for i in out[-1:]]
        assert sev.LeaseOver not in map(type, table.abort(self.transfer_id, b"wrong", "", now))
        for epoch in (Epoch(self.home.instance_id, 10_000), Epoch("p", self.lease.epoch.serial)):
            stale = table.confirm(self.transfer_id, epoch, now)
            assert stale == [sev.AnswerConfirm(sev.Outcome.STALE)]
        assert self.lease.state is before
