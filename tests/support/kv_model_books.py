"""What the model of a hand-off is made of: pools that check, an engine, things on their way."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from zlib import crc32

from baton.core.handoff import Epoch
from kv_transfer import receiver_events as rev
from kv_transfer import sender_events as sev
from kv_transfer.sender_table import SenderTable

BLOCK_SIZE = 4
DIGEST = "fits"
SENDER_LIMITS = sev.SenderLimits(ttl_s=10, pull_wait_s=10, tombstone_s=1000, held_blocks=1000)
RECEIVER_LIMITS = rev.ReceiverLimits(
    reserved_s=10, opening_s=10, receiving_s=10, confirming_s=5, confirm_attempts=3
)


def checksum(content: object) -> int:
    return crc32(repr(content).encode())


Action = tuple[str, Callable[[], None]]


class Link(Enum):
    """What can fall silent: who speaks to whom."""

    GATEWAY_PREFILL = "gateway to prefill"
    GATEWAY_DECODE = "gateway to decode"
    CONTROL = "decode to prefill"
    DATA = "the data plane"


class Pool:
    """Blocks with reference counts and contents. A block that goes free is overwritten at once."""

    def __init__(self, num_blocks: int) -> None:
        self.refs = dict.fromkeys(range(num_blocks), 0)
        self.content: dict[int, object] = dict.fromkeys(self.refs, "nothing")

    @property
    def free(self) -> list[int]:
        return [block for block, refs in self.refs.items() if refs == 0]

    def take(self, num_blocks: int, refs: int) -> tuple[int, ...] | None:
        blocks = tuple(self.free[:num_blocks])
        if len(blocks) < num_blocks:
            return None
        self.refs.update(dict.fromkeys(blocks, refs))
        return blocks

    def release(self, blocks: Iterable[int]) -> None:
        for block in blocks:
            assert self.refs[block] > 0, f"block {block} was released twice"
            self.refs[block] -= 1
            if self.refs[block] == 0:
                self.content[block] = "somebody else's"


@dataclass
class Read:
    start: rev.StartRead
    sources: list[int]
    targets: list[int]
    cancelled: bool = False
    damaged: bool = False  # the next block changes on its way


@dataclass
class Message:
    """On its way to the prefill worker; `arrive` is what it does there."""

    what: str
    link: Link
    arrive: Callable[[], None]


@dataclass
class Question:
    """A Confirm on its way. One that was lost may still arrive; its answer goes nowhere."""

    epoch: Epoch
    lost: bool = False
    arrivals: int = 0


@dataclass
class Engine:
    """Computes one prompt; its events reach the sender later, in order."""

    blocks: tuple[int, ...] = ()
    computed: int = 0
    dropped: bool = False
    ended: bool = False
    events: deque[sev.SenderEvent] = field(default_factory=deque)


class PrefillLife:
    """One process of the prefill worker. Another one comes back at the same address."""

    def __init__(self, number: int, num_blocks: int) -> None:
        self.instance_id = f"p{number}"
        self.pool = Pool(num_blocks)
        self.table = SenderTable(self.instance_id, BLOCK_SIZE, SENDER_LIMITS)
        self.alive = True


class DecodeLife:
    """One process of the decode worker."""

    def __init__(self, num_blocks: int) -> None:
        self.pool = Pool(num_blocks)
        self.alive = True


class Ground:
    """Two workers, each in the latest of its lives, the links between, and the time."""

    def __init__(self, sender_blocks: int, receiver_blocks: int, checksums: bool) -> None:
        self.now = 0.0
        self.checksums = checksums  # they are sent, and what is wrong is read again
        self.prefill = PrefillLife(1, sender_blocks)
        self.decode = DecodeLife(receiver_blocks)
        self.silent: set[Link] = set()
