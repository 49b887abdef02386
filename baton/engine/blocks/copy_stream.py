"""A queue of copies beside the model's own work on a device, for threads other than the engine's."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class CopyStream:
    """Copies begin behind what the engine's thread has last done to blocks, but not behind the step
    that it has queued since: a prompt's first blocks travel while its next ones are computed.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream | None = None
        self._settled: torch.cuda.Event | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._settled = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def after_this(self) -> None:
        """On the engine's thread: what it has queued until now comes before later copies."""
        if self._settled is not None:
            self._settled.record(torch.cuda.current_stream(self._device))

    @contextmanager
    def waited_for(self) -> Iterator[None]:
        """Copies that are queued inside have been made when this ends. From any thread."""
        if self._stream is None or self._settled is None:
            yield
            return
        # Asleep meanwhile: the cores are others'.
        done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(self._settled)
            yield
            done.record(self._stream)
        done.synchronize()
