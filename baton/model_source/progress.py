"""The progress of a download: the hub library's bars on a terminal, elsewhere a line now and then."""

import io
import threading
import time
from collections.abc import Callable
from typing import Any

from huggingface_hub.utils import tqdm as hub_tqdm  # type: ignore[attr-defined]
from tqdm import tqdm  # type: ignore[import-untyped]

EVERY = 5.0  # seconds


def progress_of(
    model: str, say: Callable[[str], None], stopping: threading.Event, *, bars: bool
) -> type[Any]:
    """A class for the library to make its bars of; it counts bytes in one and files in another.

    Its threads tell it of every chunk: once `stopping` is set, that ends them.
    """

    class Stoppable:
        def update(self, n: float | None = 1) -> bool | None:
            if stopping.is_set():
                raise KeyboardInterrupt
            drawn: bool | None = super().update(n)  # type: ignore[misc]
            return drawn

    class Bars(Stoppable, hub_tqdm):
        """Where others turn the library's bars off, as transformers can, there are none."""

    class Lines(Stoppable, tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._said = time.monotonic()
            self._last = ""
            self._guard = threading.Lock()
            silent = {"file": io.StringIO(), "leave": False, "disable": False}
            super().__init__(*args, **{**kwargs, **silent})

        def display(self, *_: object, **__: object) -> None:
            with self._guard:
                whole = bool(self.total) and self.n >= self.total
                early = time.monotonic() - self._said < EVERY
                if self.unit != "B" or not self.n or (early and not whole):
                    return
                line = f"downloading {model}: {_megabytes(self.n)} of {_megabytes(self.total)} MB"
                if line != self._last:
                    self._said, self._last = time.monotonic(), line
                    say(line)

        def close(self) -> None:
            self.display()
            super().close()

    return Bars if bars else Lines


def _megabytes(count: float | None) -> str:
    return "?" if count is None else f"{count / 1e6:.1f}"
