"""Both ways of copying runs: byte for byte what a plain loop does, whatever the lengths and places."""

import ctypes
import logging
import os
import random
from pathlib import Path

import pytest

from baton.native.library import default_workshop, load
from kv_transfer.memory import Run
from kv_transfer.stream_copy import (
    AVX2,
    BEST,
    SOURCE,
    SSE2,
    CopyRuns,
    NativeCopy,
    Stop,
    best_copy,
    choose_copy,
    copy_in_python,
)
from tests.support.programs import needed

SIZE = 1 << 21


def native(kind: int) -> NativeCopy:
    needed("g++", "g++")
    return NativeCopy(load(SOURCE, default_workshop(os.environ), lambda line: None), kind)


@pytest.fixture(params=["python", "best", "sse2", "avx2"])
def copy(request: pytest.FixtureRequest) -> CopyRuns:
    if request.param == "python":
        return copy_in_python
    if request.param != "best" and os.uname().machine != "x86_64":
        pytest.skip("only this machine's own way exists here")
    if request.param == "avx2" and "avx2" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this CPU does not know AVX2")
    return native({"best": BEST, "sse2": SSE2, "avx2": AVX2}[request.param])


class Buffer:
    def __init__(self, data: bytes) -> None:
        self.bytes = bytearray(data)
        self._lent = ctypes.c_char.from_buffer(self.bytes)

    @property
    def address(self) -> int:
        return ctypes.addressof(self._lent)


def disjoint_runs(numbers: random.Random) -> list[Run]:
    """Runs of odd lengths at odd places; targets do not overlap."""
    runs, target = [], numbers.randrange(100)
    for length in [1, 15, 63, 64, 65, 127, 129, 4095, 4097, 16384, 20000, 65536 + 3, 300_001]:
        runs.append(Run(numbers.randrange(SIZE - length), target, length))
        target += length + numbers.randrange(200)
    return runs


@pytest.mark.parametrize("seed", range(5))
def test_every_byte_lands_in_its_place_and_no_other_changes(copy: CopyRuns, seed: int) -> None:
    numbers = random.Random(seed)
    source, target = Buffer(numbers.randbytes(SIZE)), Buffer(bytes(SIZE))
    expected = bytearray(SIZE)
    runs = disjoint_runs(numbers)
    for run in runs:
        there = source.bytes[run.source : run.source + run.length]
        expected[run.target : run.target + run.length] = there

    assert copy(target.address, source.address, runs, Stop()) is True

    assert target.bytes == expected


def test_after_a_stop_no_byte_lands(copy: CopyRuns) -> None:
    source, target, stop = Buffer(b"x" * 64), Buffer(bytes(64)), Stop()
    stop.set()

    assert copy(target.address, source.address, [Run(0, 0, 64)], stop) is False

    assert target.bytes == bytes(64)


def test_without_a_compiler_python_copies_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bare = {"XDG_CACHE_HOME": str(tmp_path), "PATH": ""}
    with caplog.at_level(logging.WARNING, "kv_transfer"):
        assert choose_copy(bare) is copy_in_python
    assert ["no C++ compiler" in record.getMessage() for record in caplog.records] == [True]


def test_the_choice_is_made_once() -> None:
    assert best_copy() is best_copy()
