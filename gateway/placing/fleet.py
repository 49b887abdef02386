"""The candidates of a model side by side: what a decision asks of all of them is one column of numbers.

A thousand workers are compared by some thirty operations on columns; asked one after the other, in
Python, they took three times as long.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from operator import attrgetter
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gateway.placing.candidate import Candidate

Numbers = npt.NDArray[np.float64]  # one for each worker
Held = Numbers | float  # tokens that each worker has of a prompt; 0.0: none of them any
Mask = npt.NDArray[np.bool_]

_FIELDS = (
    *("takes_requests", "fits", "block_tokens", "free_seats", "worst", "requests"),
    *("wait", "read_step", "read_base", "read_token", "half_pair", "beside", "beside_token"),
    *("base", "sequence", "token", "seated_base", "seated_sequence", "seated_token"),
    "preference",
)
_numbers = attrgetter(*_FIELDS)


class Columns:
    """Of candidates of one role and kind; each column is named as what it has of a `Candidate`."""

    takes_requests: Numbers  # 1 or 0
    fits: Numbers
    block_tokens: Numbers
    free_seats: Numbers
    worst: Numbers
    requests: Numbers
    wait: Numbers
    read_step: Numbers
    read_base: Numbers
    read_token: Numbers
    half_pair: Numbers
    beside: Numbers
    beside_token: Numbers
    base: Numbers
    sequence: Numbers
    token: Numbers
    seated_base: Numbers
    seated_sequence: Numbers
    seated_token: Numbers
    preference: Numbers

    def __init__(self, candidates: Iterable[Candidate] = ()) -> None:
        self.candidates = list(candidates)
        self._ids = [candidate.instance_id for candidate in self.candidates]
        self._places = {instance_id: place for place, instance_id in enumerate(self._ids)}
        rows = np.array(list(map(_numbers, self.candidates)), dtype=np.float64)
        self._table = rows.reshape(len(self.candidates), len(_FIELDS)).T.copy()
        for name, column in zip(_FIELDS, self._table, strict=True):
            setattr(self, name, column)

    def __len__(self) -> int:
        return len(self.candidates)

    def put(self, place: int, candidate: Candidate) -> None:
        self.candidates[place] = candidate
        self._table[:, place] = _numbers(candidate)

    def held(self, tokens: Mapping[str, int]) -> Held:
        """Of `tokens` by instance id; those that are not in it have none."""
        if not tokens:
            return 0.0
        if len(tokens) > len(self._ids) // 4:
            return np.fromiter(map(tokens.get, self._ids, repeat(0)), np.float64, len(self._ids))
        held = np.zeros(len(self._ids))
        for instance_id, count in tokens.items():
            if (place := self._places.get(instance_id)) is not None:
                held[place] = count
        return held


@dataclass(frozen=True, slots=True)
class Kind:
    """Those that may be paired with each other."""

    readers: Columns
    writers: Columns


class Standing(Protocol):
    """Whoever a candidate is read from."""

    @property
    def candidate(self) -> Candidate: ...


class Fleet(Collection[Candidate]):
    """Changes as its candidates do: what is `put` at once, what is `outdated` when it is read next."""

    def __init__(self, candidates: Iterable[Candidate] = ()) -> None:
        self._kinds: list[Kind] = []
        self._places: dict[str, tuple[Columns, int]] = {}  # by instance id
        self._outdated: dict[Standing, None] = {}
        self.become(candidates)

    def become(self, candidates: Iterable[Candidate]) -> None:
        """Has these from now on, and no others."""
        groups: dict[str, tuple[list[Candidate], list[Candidate]]] = {}
        for candidate in candidates:
            readers, writers = groups.setdefault(candidate.kind, ([], []))
            (readers if candidate.prefills else writers).append(candidate)
        self._kinds = [Kind(*map(Columns, groups[kind])) for kind in sorted(groups)]
        self._places = {
            candidate.instance_id: (columns, place)
            for columns in self._columns()
            for place, candidate in enumerate(columns.candidates)
        }
        self._outdated.clear()

    def put(self, candidate: Candidate) -> None:
        """In place of what was known of the same worker; of others nothing is wanted."""
        if (found := self._places.get(candidate.instance_id)) is not None:
            columns, place = found
            columns.put(place, candidate)

    def outdated(self, worker: Standing) -> None:
        """What is known of it holds no more."""
        self._outdated[worker] = None

    @property
    def kinds(self) -> list[Kind]:
        """In the order of their names."""
        if self._outdated:
            outdated, self._outdated = self._outdated, {}
            for worker in outdated:
                self.put(worker.candidate)
        return self._kinds

    def __iter__(self) -> Iterator[Candidate]:
        for kind in self.kinds:
            yield from kind.readers.candidates
            yield from kind.writers.candidates

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, candidate: object) -> bool:
        return any(one is candidate for one in self)

    def _columns(self) -> Iterator[Columns]:
        for kind in self._kinds:
            yield kind.readers
            yield kind.writers


def fleet_of(candidates: Iterable[Candidate]) -> Fleet:
    return candidates if isinstance(candidates, Fleet) else Fleet(candidates)
