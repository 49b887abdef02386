"""A decode worker whose reads of KV blocks go no faster than so many bytes per second.

python -m benchmarks.throttle [flags of decode_worker]; the rate is in BYTES_PER_SECOND
"""

import os
import time
from collections.abc import Iterable, Sequence
from typing import Any

from decode_worker.__main__ import main
from kv_transfer import peers
from kv_transfer.memory import Memory, Run, batches
from kv_transfer.transports.base import Endpoint, Reader, Wanted, always
from kv_transfer.transports.negotiate import negotiate

RATE = "BYTES_PER_SECOND"
AT_ONCE = 64 << 10  # bytes between two looks at the clock


class ThrottledReader:
    """Paces another reader, whose own time counts: together they take bytes / rate."""

    def __init__(self, inner: Reader, bytes_per_second: float) -> None:
        self._inner = inner
        self._rate = bytes_per_second

    @property
    def transport(self) -> str:
        return self._inner.transport

    def probe(self, offset: int, length: int) -> bytes:
        return self._inner.probe(offset, length)

    @property
    def progress(self) -> int:
        return self._inner.progress

    def read(self, runs: Sequence[Run], wanted: Wanted = always) -> None:
        free = time.monotonic()
        for batch in batches(runs, AT_ONCE):
            self._inner.read(batch, wanted)
            free += sum(run.length for run in batch) / self._rate
            time.sleep(max(0.0, free - time.monotonic()))

    def close(self) -> None:
        self._inner.close()


def throttle(bytes_per_second: float) -> None:
    """Every link of this process that is negotiated from now on is that slow."""

    def slow(endpoints: Iterable[Endpoint], memory: Memory, *rest: Any) -> Reader:
        return ThrottledReader(negotiate(endpoints, memory, *rest), bytes_per_second)

    peers.negotiate = slow  # type: ignore[attr-defined, assignment]


if __name__ == "__main__":
    throttle(float(os.environ[RATE]))
    main()
