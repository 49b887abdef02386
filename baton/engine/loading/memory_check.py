"""Whether weights and KV pool fit into memory, said before anything is loaded. Without torch."""

from pathlib import Path

from baton.core.errors import SettingsError
from baton.engine.packing import copied_bytes, screen_bytes
from baton.model_source.weight_files import weight_bytes

# Bytes of each worker beside weights and KV pool: interpreter, libraries, what a step computes.
ALLOWANCE = 640 << 20


def check_memory(
    folder: Path,
    dtype: str,
    kv_cache_memory_bytes: int,
    available: int,
    num_workers: int = 1,
    kv_offloading_bytes: int = 0,
    screened: bool = False,
) -> int:
    """The bytes that workers need which load `folder` side by side. Raises SettingsError where they
    would not fit. `screened`: they may have a screen before the output layer.
    """
    weights = weight_bytes(folder, dtype) + copied_bytes(folder, dtype)
    weights += screen_bytes(folder, dtype) if screened else 0
    needed = num_workers * (weights + kv_cache_memory_bytes + kv_offloading_bytes + ALLOWANCE)
    if needed <= available:
        return needed
    who = "a worker needs" if num_workers == 1 else f"{num_workers} workers need"
    each = "" if num_workers == 1 else " each"
    remedies = ["lower --kv-cache-memory-bytes"]
    offloading = ""
    if kv_offloading_bytes:
        remedies[0] += " or --kv-offloading-size"
        offloading = f", {_gib(kv_offloading_bytes)} for what it gives up (--kv-offloading-size)"
    if num_workers > 1:
        remedies.append("start fewer workers")
    if dtype == "float32":
        remedies.append("take --dtype bfloat16")
    raise SettingsError(
        f"{who} about {_gib(needed)} of memory and {_gib(available)} are available: "
        f"{_gib(weights)} for the weights, {_gib(kv_cache_memory_bytes)} for the KV pool "
        f"(--kv-cache-memory-bytes){offloading} and {_gib(ALLOWANCE)} for the rest{each}; "
        f"{', '.join(remedies)} or take a smaller model"
    )


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"
