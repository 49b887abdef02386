"""Every token of one request, by choice and position: what came, what is new, what is wrong."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from baton.core.errors import InternalError
from baton.core.token_record import TokenRecord


class TokenLog:
    """Several workers tell the same tokens. The first copy of a position counts, an equal repeat is
    dropped, a differing one is a defect, and so are a gap and a token after the end.
    """

    def __init__(self, prompt_len: int, choices: int) -> None:
        self._prompt_len = prompt_len
        self._records: tuple[list[TokenRecord], ...] = tuple([] for _ in range(choices))

    @property
    def ended(self) -> bool:
        """Every choice has its last token."""
        return all(records and records[-1].finish_reason for records in self._records)

    def has_ended(self, choice: int) -> bool:
        records = self._records[choice]
        return bool(records and records[-1].finish_reason)

    def records(self, choice: int) -> Sequence[TokenRecord]:
        """All that is known of the choice's answer."""
        return self._records[choice]

    def token_ids(self, choice: int) -> tuple[int, ...]:
        """Likewise."""
        return tuple([record.token_id for record in self._records[choice]])

    def section(self, choices: Sequence[int]) -> "Section":
        """For workers that know these choices as 0, 1, and so on."""
        return Section(self, tuple(choices))

    def add(self, records: Iterable[TokenRecord]) -> tuple[TokenRecord, ...]:
        """Those that are new, in order. Raises InternalError for what must not happen."""
        return tuple([record for record in records if self._is_new(record)])

    def _is_new(self, record: TokenRecord) -> bool:
        if record.choice >= len(self._records):
            raise InternalError(f"a token of choice {record.choice}, which nobody asked for")
        known = self._records[record.choice]
        index = record.position - self._prompt_len
        if not 0 <= index <= len(known):
            raise InternalError(
                f"a token at position {record.position} of choice {record.choice}, "
                f"where {self._prompt_len + len(known)} comes next"
            )
        if index < len(known):
            if not _same(record, known[index]):
                raise InternalError(
                    f"two different tokens at position {record.position} of choice "
                    f"{record.choice}: {known[index]} and {record}"
                )
            return False
        if known and known[-1].finish_reason:
            raise InternalError(f"a token after the end of choice {record.choice}")
        known.append(record)
        return True


def _same(one: TokenRecord, other: TokenRecord) -> bool:
    """A worker that took an answer over may not know the log-probabilities behind it."""
    if one == other:
        return True
    untold = one.logprobs is None or other.logprobs is None
    return untold and replace(one, logprobs=None) == replace(other, logprobs=None)


class Section:
    """The part of a log that one attempt writes to: some of the choices, under the numbers that its
    workers give them.
    """

    def __init__(self, log: TokenLog, choices: tuple[int, ...]) -> None:
        self._log = log
        self._choices = choices
        self._here = choices  # those that have not left
        self._renamed = choices != tuple(range(len(choices)))
        self._silent = set(choices)

    @property
    def began(self) -> bool:
        """The attempt has told a token of each of its choices."""
        return not self._silent

    @property
    def ended(self) -> bool:
        """Each of its choices has its last token, or has left."""
        return all(map(self._log.has_ended, self._here))

    @property
    def abandoned(self) -> bool:
        """A choice has left."""
        return len(self._here) < len(self._choices)

    def number_of(self, choice: int) -> int:
        """What the workers call the request's choice."""
        return self._choices.index(choice)

    def leave(self, number: int) -> int:
        """The workers tell no more of this choice, by their number of it; by the request's own.
        Raises InternalError for one that they do not have.
        """
        choice = self._choices[number] if number < len(self._choices) else None
        if choice is None or choice not in self._here:
            raise InternalError(f"choice {number} left, which was not there")
        self._here = tuple([c for c in self._here if c != choice])
        return choice

    def add(self, records: Iterable[TokenRecord]) -> tuple[TokenRecord, ...]:
        """Those that are new, under the request's own numbers. Raises as the log does."""
        if self._renamed or self._silent:
            records = [self._own(record) for record in records]
        return self._log.add(records)

    def _own(self, record: TokenRecord) -> TokenRecord:
        if record.choice >= len(self._choices):
            raise InternalError(f"a token of choice {record.choice}, which nobody asked for")
        choice = self._choices[record.choice]
        self._silent.discard(choice)
        return record if choice == record.choice else replace(record, choice=choice)
