"""What a running process holds of the system."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

SLACK = 3  # connections and pool threads come and go


@dataclass(frozen=True, slots=True)
class Residue:
    descriptors: int
    threads: int

    def with_links(self, count: int) -> "Residue":
        """To as many more workers: each costs two descriptors and a reading thread."""
        return Residue(self.descriptors + 2 * count, self.threads + count)

    def exceeds(self, before: "Residue") -> bool:
        """It has grown by more than chance."""
        return (
            self.descriptors > before.descriptors + SLACK or self.threads > before.threads + SLACK
        )


def residue_of(pid: int) -> Residue:
    folder = Path(f"/proc/{pid}")
    descriptors = 0
    for entry in (folder / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed while we looked
            os.readlink(entry)
            descriptors += 1
    return Residue(descriptors, len(list((folder / "task").iterdir())))
