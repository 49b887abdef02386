"""What --device may say. Without torch."""

from dataclasses import dataclass

from baton.core.errors import SettingsError

AUTO, CPU, CUDA = "auto", "cpu", "cuda"


@dataclass(frozen=True, slots=True)
class DeviceName:
    kind: str  # auto, cpu, cuda
    index: int | None = None  # of a CUDA device; None: the first that this process sees


def device_name(text: str) -> DeviceName:
    """Raises SettingsError."""
    kind, colon, number = text.partition(":")
    if kind == CUDA and (not colon or (number.isascii() and number.isdigit())):
        return DeviceName(CUDA, int(number) if colon else None)
    if text in (AUTO, CPU):
        return DeviceName(text)
    raise SettingsError(f"--device {text!r} is none of: auto, cpu, cuda, cuda:N (N from 0)")
