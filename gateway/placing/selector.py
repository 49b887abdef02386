"""Which workers a request means: one by its id, or all that have some labels."""

from dataclasses import dataclass

from baton.core.labels import Labels, checked_labels, read_labels
from baton.core.worker_info import WorkerInfo

LONGEST_ID = 256  # characters


@dataclass(frozen=True, slots=True)
class Selector:
    worker_id: str = ""  # empty: by `labels`
    labels: Labels = ()  # all of them

    def fits(self, info: WorkerInfo) -> bool:
        if self.worker_id:
            return info.worker_id == self.worker_id
        return set(self.labels) <= set(info.labels)

    def __str__(self) -> str:
        return self.worker_id or ",".join(f"{key}={value}" for key, value in self.labels)


def read_selector(value: object) -> Selector:
    """An id, `"zone=a,rack=7"` or `{"zone": "a", "rack": "7"}`. Raises ValueError with a sentence."""
    if isinstance(value, dict) and value:
        words = [(key, word) for key, word in value.items() if isinstance(word, str)]
        if len(words) == len(value):
            return Selector(labels=checked_labels(words))
    if isinstance(value, str) and 0 < len(value) <= LONGEST_ID:
        if "=" in value:
            return Selector(labels=read_labels(value))
        return Selector(worker_id=value)
    raise ValueError('must be a worker\'s id, or labels such as \'zone=a\' or {"zone": "a"}')
