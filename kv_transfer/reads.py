"""The reads of one hand-off: which are under way, and what is read again."""

from dataclasses import replace
from itertools import count

from kv_transfer.receiver_events import StartRead


class Reads:
    """While there are any, their bytes may still land."""

    def __init__(self, most_attempts: int) -> None:
        """`most_attempts`: how often one block is read at most."""
        self.wrong_blocks = 0  # whose checksum was wrong, each time
        self.repaired_blocks = 0  # read again because their checksum was wrong
        self._most_attempts = most_attempts
        self._ids = count(1)
        self._under_way: dict[int, StartRead] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def start(self, read: StartRead) -> StartRead:
        """The same with an id of its own."""
        read = replace(read, read_id=next(self._ids))
        self._under_way[read.read_id] = read
        return read

    def end(self, read_id: int) -> StartRead | None:
        """None: it is not under way."""
        return self._under_way.pop(read_id, None)

    def again(self, read: StartRead, wrong: tuple[int, ...]) -> StartRead | None:
        """Of an ended read the blocks at the places `wrong`, whose bytes changed on their way. None:
        that happened too often, and the way is not to be trusted.
        """
        self.wrong_blocks += len(wrong)
        if read.attempt >= self._most_attempts:
            return None
        if read.attempt == 1:
            self.repaired_blocks += len(wrong)
        return self.start(
            replace(
                read,
                source_blocks=tuple(read.source_blocks[i] for i in wrong),
                target_blocks=tuple(read.target_blocks[i] for i in wrong),
                checksums=tuple(read.checksums[i] for i in wrong),
                attempt=read.attempt + 1,
            )
        )
