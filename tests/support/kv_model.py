"""A model of everything around the two machines: engines, pools, a network that loses and reorders.

No time passes and nothing runs unless the test says so. Each step checks what must always hold.
"""

from kv_transfer import receiver_events as rev
from tests.support.kv_model_books import SENDER_LIMITS, Action, Ground
from tests.support.kv_model_relay import Relay


class World(Ground):
    """Two workers, their pools and any number of hand-offs between them."""

    def __init__(self, sender_blocks: int = 7, receiver_blocks: int = 7) -> None:
        super().__init__(sender_blocks, receiver_blocks)
        self.relays: list[Relay] = []

    def add(self, num_tokens: int, cached: int = 0) -> "Relay":
        relay = Relay(self, f"t{len(self.relays)}", num_tokens, cached)
        self.relays.append(relay)
        return relay

    def progress(self) -> list[Action]:
        return [action for relay in self.relays for action in relay.progress()]

    def faults(self) -> list[Action]:
        own: list[Action] = [("a second passes", lambda: self.advance(1.0))]
        own.append(("a long time passes", lambda: self.advance(20.0)))
        if self.sender_alive:
            own.append(("the sender dies", self.kill_sender))
        return own + [action for relay in self.relays for action in relay.faults()]

    def advance(self, seconds: float) -> None:
        self.now += seconds
        if self.sender_alive:
            for machine, instructions in self.table.tick(self.now):
                relay = next(r for r in self.relays if r.transfer_id == machine.transfer_id)
                relay.do_sender(instructions)
        for relay in self.relays:
            relay.receive(rev.DeadlinePassed())

    def kill_sender(self) -> None:
        """Its memory stays readable as it was, as a mapping of shared memory would."""
        self.sender_alive = False
        for relay in self.relays:
            relay.to_sender.clear()
            relay.break_stream()
            relay.pull_id = None

    def drain(self) -> None:
        """Lets everything that is under way come to its end."""
        for relay in self.relays:
            relay.close_prefill()
        for _ in range(100):
            while actions := [a for r in self.relays for a in r.settle()]:
                actions[0][1]()
            if all(relay.machine.over for relay in self.relays):
                break
            self.advance(20.0)
        self.advance(2 * SENDER_LIMITS.ttl_s)
        while actions := [a for r in self.relays for a in r.settle()]:
            actions[0][1]()
