"""Every token of one request, by choice and position: what came, what is new, what is wrong."""

from collections.abc import Iterable

from baton.core.errors import InternalError
from baton.core.token_record import TokenRecord


class TokenLog:
    """Two workers tell the same tokens. The first copy of a position counts, an equal repeat is
    dropped, a differing one is a defect, and so are a gap and a token after the end.
    """

    def __init__(self, prompt_len: int, choices: int) -> None:
        self._prompt_len = prompt_len
        self._records: tuple[list[TokenRecord], ...] = tuple([] for _ in range(choices))

    @property
    def empty(self) -> bool:
        return not any(self._records)

    @property
    def ended(self) -> bool:
        """Every choice has its last token."""
        return all(records and records[-1].finish_reason for records in self._records)

    @property
    def began(self) -> bool:
        """Every choice has its first token."""
        return all(self._records)

    def count(self, choice: int) -> int:
        return len(self._records[choice])

    def add(self, records: Iterable[TokenRecord]) -> tuple[TokenRecord, ...]:
        """Those that are new, in order. Raises InternalError for what must not happen."""
        return tuple(record for record in records if self._is_new(record))

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
            if record != known[index]:
                raise InternalError(
                    f"two different tokens at position {record.position} of choice "
                    f"{record.choice}: {known[index]} and {record}"
                )
            return False
        if known and known[-1].finish_reason:
            raise InternalError(f"a token after the end of choice {record.choice}")
        known.append(record)
        return True
