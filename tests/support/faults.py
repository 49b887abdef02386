"""Faults of processes and links, each with its end: who is killed comes back, what is broken heals."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from tests.support.link_relay import Link
from tests.support.relayed_cluster import GATEWAY, RelayedCluster

# Seconds: unnoticed, noticed by those who wait, and longer than keep-alive lets a peer be silent.
LENGTHS = (0.5, 2.0, 8.0)
BACK = 90.0  # seconds until a process is back at the latest


@dataclass(frozen=True, slots=True)
class Fault:
    kind: str  # kill, stop, cut, silence
    target: str | Link
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind} {self.target}" + (f" for {self.seconds:g} s" if self.seconds else "")


def draw_faults(cluster: RelayedCluster, count: int, rng: random.Random) -> list[Fault]:
    """Every kind of fault on every kind of target as evenly as the count allows. Links are those in
    use.
    """
    links = cluster.links.used()
    controls = [x for x in links if GATEWAY in (x.one, x.other)]
    kinds: list[tuple[str, list[Any]]] = [
        *(("kill", names) for names in (cluster.prefill, cluster.decode, [GATEWAY])),
        *(("stop", names) for names in (cluster.prefill, cluster.decode, [GATEWAY])),
    ]
    for kind in ("cut", "silence"):
        kinds += [
            (kind, [x for x in controls if cluster.prefill[0][:3] in str(x)]),
            (kind, [x for x in controls if cluster.decode[0][:3] in str(x)]),
            (kind, [x for x in links if x not in controls and x.plane == "control"]),
            (kind, [x for x in links if x.plane == "data"]),
        ]
    assert all(targets for _, targets in kinds), "some kind of link is not in use"
    faults: list[Fault] = []
    while len(faults) < count:
        rng.shuffle(kinds)
        faults += [_drawn(kind, targets, rng) for kind, targets in kinds]
    return faults[:count]


def _drawn(kind: str, targets: list[Any], rng: random.Random) -> Fault:
    return Fault(kind, rng.choice(targets), 0.0 if kind == "kill" else rng.choice(LENGTHS))


@dataclass
class Saboteur:
    """Inflicts faults, `at_once` at the same time, none twice on the same target."""

    relayed: RelayedCluster
    rng: random.Random
    inflicted: list[Fault] = field(default_factory=list)
    _busy: set[str | Link] = field(default_factory=set)
    _free: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def inflict(self, faults: list[Fault], at_once: int) -> None:
        """Returns when all of them are over: healed, continued, started again."""
        left = iter(faults)

        async def one_after_the_other() -> None:
            for fault in left:
                await self._take(fault.target)
                await asyncio.sleep(self.rng.uniform(0.0, 1.0))
                await self._inflict(fault)
                async with self._free:
                    self._busy.discard(fault.target)
                    self._free.notify_all()

        await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))

    async def _take(self, target: str | Link) -> None:
        async with self._free:
            await self._free.wait_for(lambda: target not in self._busy)
            self._busy.add(target)

    @property
    def gateway_kills(self) -> int:
        return self.inflicted.count(Fault("kill", GATEWAY))

    def _inflict(self, fault: Fault) -> Coroutine[Any, Any, None]:
        self.inflicted.append(fault)
        match fault.target:
            case Link() as broken:
                return self._break(fault, broken)
            case name if fault.kind == "kill":
                return self._kill(name)
            case name:
                return self._stop(name, fault.seconds)

    async def _break(self, fault: Fault, broken: Link) -> None:
        links = self.relayed.links
        (links.cut if fault.kind == "cut" else links.silence)(broken)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            links.heal(broken)

    async def _kill(self, name: str) -> None:
        cluster = self.relayed.cluster
        lives = sum(line.startswith(f"{name} ready") for line in cluster.output)
        pid = self.relayed.pid_of(name)
        assert pid is not None, f"there is no {name} to kill"
        os.kill(pid, signal.SIGKILL)
        await cluster.until_said(f"{name} ready", BACK, lives + 1)

    async def _stop(self, name: str, seconds: float) -> None:
        pid = self.relayed.pid_of(name)
        assert pid is not None, f"there is no {name} to stop"
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
