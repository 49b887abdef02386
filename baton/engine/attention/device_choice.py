"""Which attention backend a CUDA device gets. Pure: what is there is found out by others."""

from collections.abc import Callable
from dataclasses import dataclass

from baton.core.errors import SettingsError

TRITON, FLASH_ATTN, FLASHINFER = "triton", "flash_attn", "flashinfer"
MODULES = {TRITON: "triton", FLASH_ATTN: "flash_attn_interface", FLASHINFER: "flashinfer"}
BACKENDS = ("auto", "cpu", "torch", *MODULES)  # cpu and torch: of `choice`, for models on the CPU
_INSTALL = {
    TRITON: "pip install 'triton>=3.6'; a PyTorch for CUDA brings it",
    FLASH_ATTN: "FlashAttention-3 is built from the folder hopper/ of its sources",
    FLASHINFER: "pip install flashinfer-python",
}
_HALF = ("float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    capability: tuple[int, int]  # of the device, such as (9, 0)
    importable: frozenset[str]  # of the names above
    dtype: str  # of KV
    head_dim: int
    graphs: bool  # decode steps are to be CUDA graphs


def choose_on_device(wish: str, facts: DeviceFacts) -> str:
    """`wish` is auto or one of the names. Raises SettingsError that says why it cannot be had.

    auto: FlashAttention-3 on the devices that it is made for, else Triton, else FlashInfer, which has
    no graphs here.
    """
    if wish != "auto":
        if wish not in MODULES:
            raise SettingsError(
                f"--attention-backend {wish} computes on the CPU, and this worker on a CUDA device: "
                f"take auto, {', '.join(MODULES)}, or --device cpu"
            )
        if reason := _unfit(wish, facts):
            raise SettingsError(f"--attention-backend {wish} is not possible: {reason}")
        return wish
    reasons = {name: _unfit(name, facts) for name in (FLASH_ATTN, TRITON, FLASHINFER)}
    for name, reason in reasons.items():
        if not reason:
            return name
    told = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    raise SettingsError(f"no attention backend can be had on this device: {told}")


def _unfit(name: str, facts: DeviceFacts) -> str:
    """Empty where it fits."""
    if name not in facts.importable:
        return f"{MODULES[name]} cannot be imported ({_INSTALL[name]})"
    return _LIMITS[name](facts)


def _triton(facts: DeviceFacts) -> str:
    if facts.capability < (8, 0):
        return f"its kernels need compute capability 8.0, and the device has {_dotted(facts)}"
    if facts.head_dim > 256:
        return f"it takes heads of up to 256, and the model's have {facts.head_dim}"
    return ""


def _flash_attn(facts: DeviceFacts) -> str:
    if facts.capability[0] != 9:
        return f"it is made for compute capability 9.0, and the device has {_dotted(facts)}"
    if facts.dtype not in _HALF:
        return f"it takes {' and '.join(_HALF)}, not {facts.dtype}"
    if facts.head_dim > 256 or facts.head_dim % 8:
        return f"it takes heads of up to 256 in steps of 8, and the model's have {facts.head_dim}"
    return ""


def _flashinfer(facts: DeviceFacts) -> str:
    if facts.graphs:
        return "its steps are not captured as CUDA graphs here: take it with --enforce-eager"
    if facts.capability < (8, 0):
        return f"it needs compute capability 8.0, and the device has {_dotted(facts)}"
    if facts.dtype not in _HALF:
        return f"it takes {' and '.join(_HALF)}, not {facts.dtype}"
    if facts.head_dim not in (64, 128, 256):
        return f"it takes heads of 64, 128 and 256, and the model's have {facts.head_dim}"
    return ""


_LIMITS: dict[str, Callable[[DeviceFacts], str]] = {
    TRITON: _triton,
    FLASH_ATTN: _flash_attn,
    FLASHINFER: _flashinfer,
}


def _dotted(facts: DeviceFacts) -> str:
    return ".".join(map(str, facts.capability))
