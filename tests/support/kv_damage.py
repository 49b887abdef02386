"""Data planes on which bytes change: in the wire, or right after they have landed."""

from collections.abc import Callable, Sequence

import pytest

from kv_transfer import peers
from kv_transfer.memory import Memory, Run
from kv_transfer.transports.base import Reader, Wanted, always
from kv_transfer.transports.negotiate import negotiate
from tests.support.kv_stall import StallingExporter

Wrap = Callable[[Reader, Memory], Reader]


def wrap_readers(monkeypatch: pytest.MonkeyPatch, wrap: Wrap) -> None:
    """Every link that is negotiated from now on reads through `wrap`."""
    monkeypatch.setattr(
        peers, "negotiate", lambda ends, memory, *rest: wrap(negotiate(ends, memory, *rest), memory)
    )


class WrappedReader:
    """Does as the inner one; `before` and `after` are called around each read of it."""

    def __init__(
        self,
        inner: Reader,
        before: Callable[[Sequence[Run]], None] = lambda runs: None,
        after: Callable[[Sequence[Run]], None] = lambda runs: None,
    ) -> None:
        self._inner = inner
        self._before = before
        self._after = after

    @property
    def transport(self) -> str:
        return self._inner.transport

    def probe(self, offset: int, length: int) -> bytes:
        return self._inner.probe(offset, length)

    @property
    def progress(self) -> int:
        return self._inner.progress

    def read(self, runs: Sequence[Run], wanted: Wanted = always) -> None:
        self._before(runs)
        self._inner.read(runs, wanted)
        self._after(runs)

    def close(self) -> None:
        self._inner.close()


class Damage:
    """Changes the last byte of so many reads, right after they have landed."""

    def __init__(self, times: int) -> None:
        self.left = times

    def wrap(self, inner: Reader, memory: Memory) -> Reader:
        def after(runs: Sequence[Run]) -> None:
            if self.left:
                self.left -= 1
                memory.view[runs[-1].target + runs[-1].length - 1] ^= 1

        return WrappedReader(inner, after=after)


class DamagingExporter(StallingExporter):
    """Over TCP: changes one byte on its way in each of the next `damage` pieces of answers."""

    damage = 0

    def _passed(self, data: bytes) -> bytes:
        if not self.damage or len(data) < 1024:  # a header alone is none of the payload
            return data
        self.damage -= 1
        return data[:-1] + bytes([data[-1] ^ 1])
