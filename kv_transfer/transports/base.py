"""What a data plane must do: lend a pool for reading, and read from a lent pool."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from baton.core.errors import TransferError
from kv_transfer.memory import Memory, Run

TOKEN_BYTES = 16
CANARY_BYTES = 64  # of the canary page that a probe compares
BATCH_BYTES = 4 << 20  # read without looking whether the read is still wanted

Wanted = Callable[[], bool]  # whether a read is still to go on; asked on the reading thread


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One way to read a pool, as its owner describes it to peers."""

    transport: str
    address: str
    token: bytes
    canary_offset: int
    canary: bytes


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """Bounds on waiting for the other side of a data plane, seconds."""

    connect_s: float = 3.0
    stall_s: float = 5.0  # without a single byte


class Exporter(Protocol):
    """Lends a pool. `start` once, then `close` once; the pool outlives it."""

    def start(self) -> Endpoint:
        """From now on peers can read. Raises OSError when it cannot listen."""
        ...

    def close(self) -> None:
        """Afterwards no thread of it runs and none of its sockets is open."""
        ...


class Reader(Protocol):
    """Reads one peer's pool into the pool of this process. `read` and `probe` on one thread."""

    @property
    def transport(self) -> str: ...

    @property
    def progress(self) -> int:
        """Grows while bytes land; a link that hangs shows the same number again. From any thread."""
        ...

    def probe(self, offset: int, length: int) -> bytes:
        """A copy of the peer's bytes. Raises TransferError."""
        ...

    def read(self, runs: Sequence[Run], wanted: Wanted = ...) -> None:
        """Blocks until every byte has landed. Raises TransferError; then no byte lands any more.

        Once `wanted` says no it raises soon, within a few batches, and the link stays good.
        """
        ...

    def close(self) -> None:
        """From any thread. A running read ends, later ones raise; returns when that is so."""
        ...


def endpoint_for(transport: str, address: str, token: bytes, memory: Memory) -> Endpoint:
    offset = memory.canary_offset
    canary = bytes(memory.view[offset : offset + CANARY_BYTES])
    return Endpoint(transport, address, token, offset, canary)


def always() -> bool:
    return True


def check_wanted(wanted: Wanted) -> None:
    if not wanted():
        raise TransferError("the read was cancelled")


def check_runs(runs: Sequence[Run], source_size: int, target_size: int) -> None:
    """Raises TransferError for a run that leaves either pool."""
    for run in runs:
        if run.length < 1 or run.source < 0 or run.target < 0:
            raise TransferError(f"{run} is no run of bytes")
        if run.source + run.length > source_size:
            raise TransferError(f"{run} leaves the sender's {source_size} bytes")
        if run.target + run.length > target_size:
            raise TransferError(f"{run} leaves the receiver's {target_size} bytes")
