"""The device that a model computes on, and how numbers get there and back without waiting for it.

On a CPU the same calls copy at once: so tests run the code of CUDA devices without one.
"""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from baton.core.errors import SettingsError
from baton.engine.machine.device_name import AUTO, CPU, CUDA, device_name

logger = logging.getLogger(__name__)

Numbers = Sequence[int] | Sequence[Sequence[int]] | Sequence[float] | Sequence[Sequence[float]]


def choose_device(text: str) -> torch.device:
    """`text` as --device has it. Raises SettingsError where that device is not there."""
    wanted = device_name(text)
    if wanted.kind == CPU or (wanted.kind == AUTO and not torch.cuda.is_available()):
        return torch.device(CPU)
    if not torch.cuda.is_available():
        raise SettingsError(f"--device {text} is not possible: {_why_no_cuda()}; take --device cpu")
    count, index = torch.cuda.device_count(), wanted.index or 0
    if index >= count:
        raise SettingsError(
            f"--device {text} is not possible: this process sees {count} CUDA devices, from cuda:0 on"
        )
    return torch.device(CUDA, index)


def _why_no_cuda() -> str:
    if torch.version.cuda is None:
        return f"this PyTorch ({torch.__version__}) was built without CUDA"
    return f"PyTorch {torch.__version__} finds no CUDA device or driver"


def sent(numbers: Numbers | Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    """To the device from page-locked memory, behind what it was told before; nobody waits."""
    on_host = torch.as_tensor(numbers, dtype=dtype)
    if device.type == CPU:
        return on_host
    ready = on_host.pin_memory() if device.type == CUDA else on_host
    return ready.to(device, non_blocking=True)


def host_buffer(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros on the host, page-locked where a CUDA device reads or writes them."""
    return torch.zeros(tuple(shape), dtype=dtype, pin_memory=device.type == CUDA)


class HostTurns:
    """Two buffers of `host_buffer`, one for every other step: what the step before has sent from its own
    may still be on its way when the next one is begun, and no step before that is under way any more.
    """

    def __init__(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> None:
        self._buffers = [host_buffer(shape, dtype, device) for _ in range(2)]

    def next(self) -> Tensor:
        self._buffers.reverse()
        return self._buffers[0]


class Fetched:
    """Copies of tensors on their way to the host. One wait for all of them."""

    def __init__(self, tensors: Sequence[Tensor], device: torch.device) -> None:
        self._copies = [_copy_to_host(tensor, device) for tensor in tensors]
        self._arrived: torch.cuda.Event | None = None
        if device.type == CUDA:
            self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._arrived.record(torch.cuda.current_stream(device))

    def wait(self) -> list[Tensor]:
        """The only place of a step where the host waits for the device."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._copies


def _copy_to_host(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type == CPU:
        return tensor
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=device.type == CUDA)
    return copy.copy_(tensor, non_blocking=True)
