"""Which worker wrote the latest answers: it has prompt and answer cached, for the next turn."""

from collections import OrderedDict
from collections.abc import Sequence

MOST_NAMES = 65_536  # of blocks: a million tokens in blocks of 16, about ten megabytes


class RecentAnswers:
    """Names of blocks, each with the worker that had it last; the oldest are forgotten first, of
    one answer the last blocks before the first.

    What a worker has evicted since is not known here: it says so when it is asked.
    """

    def __init__(self, most: int = MOST_NAMES) -> None:
        self._most = most
        self._writers: OrderedDict[bytes, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._writers)

    def note(self, instance_id: str, names: Sequence[bytes]) -> None:
        """The worker has these blocks now, from the first one of a sequence on."""
        for name in reversed(names[: self._most]):
            self._writers[name] = instance_id
            self._writers.move_to_end(name)
        while len(self._writers) > self._most:
            self._writers.popitem(last=False)

    def held(self, names: Sequence[bytes]) -> dict[str, int]:
        """By instance id: how many of the named blocks, from the first one on."""
        held: dict[str, int] = {}
        for count, name in enumerate(names, start=1):
            if (writer := self._writers.get(name)) is not None:
                held[writer] = count
        return held
