"""Who decides where a request runs: by predicted cost, or one of the simple ways that others know.

The simple ones know neither speed nor objectives, and always pair a prefill with a decode worker
while a prefill worker lives: they are here to be compared with. All are pure, but for the turn of
`round_robin` and the draws of `power_of_two`.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import Protocol

from gateway.placing.candidate import Candidate
from gateway.placing.placement import (
    Alone,
    Decision,
    LinkBetween,
    Option,
    Pair,
    Reason,
    place,
    takers,
)
from gateway.placing.scoring import Ask, terms_of

Rank = tuple[float, ...]


class Policy(Protocol):
    name: str

    def place(
        self, candidates: Collection[Candidate], ask: Ask, link: LinkBetween | None = None
    ) -> Decision | None:
        """None: nothing fits now, and a change in the cluster may help."""
        ...


class Auto:
    """The least predicted cost."""

    name = "auto"

    def place(
        self, candidates: Collection[Candidate], ask: Ask, link: LinkBetween | None = None
    ) -> Decision | None:
        return place(candidates, ask, link)


class Simple(ABC):
    """Ranks the workers of each role, and takes the first two that may be paired."""

    name: str

    def place(
        self, candidates: Collection[Candidate], ask: Ask, link: LinkBetween | None = None
    ) -> Decision | None:
        prefills = [c for c in candidates if c.prefills and c.alive]
        partners = [c for c in prefills if c.takes_requests]
        decodes = takers(candidates, ask)
        last_resort: tuple[Candidate | None, Candidate] | None = None
        for decode in self._doubted_last(decodes, ask):
            if not prefills and ask.may_be_alone:
                return self._decided(ask, None, decode, link)
            fitting = [c for c in partners if c.kind == decode.kind]
            for prefill in self._doubted_last(fitting, ask):
                if (prefill.instance_id, decode.instance_id) not in ask.doubted_links:
                    return self._decided(ask, prefill, decode, link)
                last_resort = last_resort or (prefill, decode)
        return None if last_resort is None else self._decided(ask, *last_resort, link)

    @abstractmethod
    def order(self, candidates: list[Candidate], ask: Ask) -> list[Candidate]:
        """Of workers of one role, those to be tried first."""

    def _doubted_last(self, candidates: list[Candidate], ask: Ask) -> list[Candidate]:
        if len(candidates) < 2:
            return candidates
        return sorted(self.order(candidates, ask), key=lambda c: c.doubted)

    def _decided(
        self,
        ask: Ask,
        prefill: Candidate | None,
        decode: Candidate,
        link: LinkBetween | None,
    ) -> Decision:
        between = None
        if link is not None and prefill is not None:
            between = link(prefill.instance_id, decode.instance_id)
        terms = terms_of(ask, prefill, decode, between)
        placement = Alone(decode.info) if prefill is None else Pair(prefill.info, decode.info)
        cached = ask.held.get((prefill or decode).instance_id, 0)
        reason = self.name
        if prefill is None:
            reason = Reason.WISHED if ask.particular else Reason.NO_PREFILL
        return Decision((Option(placement, terms, cached),), reason)


class RoundRobin(Simple):
    """One after the other, by their ids."""

    name = "round_robin"

    def __init__(self) -> None:
        self._turns = {True: 0, False: 0}  # by whether they are prefill workers

    def order(self, candidates: list[Candidate], ask: Ask) -> list[Candidate]:
        by_id = sorted(candidates, key=lambda c: c.info.worker_id)
        role = by_id[0].prefills
        turn = self._turns[role] % len(by_id)
        self._turns[role] += 1
        return by_id[turn:] + by_id[:turn]


class LeastLoad(Simple):
    """The fewest requests; then the emptier pool."""

    name = "least_load"

    def order(self, candidates: list[Candidate], ask: Ask) -> list[Candidate]:
        return sorted(candidates, key=_load)


class PowerOfTwo(Simple):
    """The less loaded one of two that are drawn."""

    name = "power_of_two"

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw

    def order(self, candidates: list[Candidate], ask: Ask) -> list[Candidate]:
        drawn = self._draw.sample(candidates, len(candidates))
        return sorted(drawn[:2], key=_load) + drawn[2:]


class PrefixAware(Simple):
    """Prefill: the fewest tokens to be computed until this prompt's answer begins, those of its line
    included. Decode: the fewest requests, then the most of the prompt cached.
    """

    name = "prefix_aware"

    def order(self, candidates: list[Candidate], ask: Ask) -> list[Candidate]:
        def cost(candidate: Candidate) -> Rank:
            uncached = ask.tokens - ask.held.get(candidate.instance_id, 0)
            if candidate.prefills:
                return candidate.unread + uncached, candidate.requests
            return candidate.requests, uncached, -candidate.free_tokens

        return sorted(candidates, key=lambda c: (cost(c), c.info.worker_id))


def _load(candidate: Candidate) -> tuple[int, int, str]:
    return candidate.requests, -candidate.free_tokens, candidate.info.worker_id


AUTO = "auto"
_POLICIES: dict[str, Callable[[random.Random], Policy]] = {
    AUTO: lambda draw: Auto(),
    RoundRobin.name: lambda draw: RoundRobin(),
    LeastLoad.name: lambda draw: LeastLoad(),
    PowerOfTwo.name: PowerOfTwo,
    PrefixAware.name: lambda draw: PrefixAware(),
}
POLICIES = tuple(_POLICIES)


def policy_of(name: str, draw: random.Random | None = None) -> Policy:
    """`draw` is where a policy that needs chance gets it."""
    return _POLICIES[name](draw or random.Random())
