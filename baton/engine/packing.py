"""What is laid out anew when a model is loaded, and what that takes in memory. Without torch."""

import os
from pathlib import Path

from baton.engine.kernel_build import default_recipe
from baton.engine.machine.host_cores import cpu_flags
from baton.model_source.weight_files import dtype_name, read_json, tensor_shapes

SCREENED_FROM = 64 << 20  # bytes of an output layer: smaller ones stay in the processor's cache


def packs_linears(dtype: str) -> bool:
    """Whether torch packs linear layers, where there are no C++ kernels. Only where the CPU computes in bfloat16 by itself.

    Packed, float16 was measured to gain nothing and float32 to lose for single rows.
    """
    return dtype == "bfloat16" and "avx512_bf16" in cpu_flags()


def copied_bytes(folder: Path, dtype: str) -> int:
    """Of an embedding that is the output layer as well: read as it is by the one, packed by the other."""
    if default_recipe(os.environ).compiler or not packs_linears(dtype_name(folder, dtype)):
        return 0  # the C++ kernels' packed weights are read by both
    tables = _tables(folder)
    return 2 * tables[0] if len(tables) == 1 else 0


def screen_bytes(folder: Path, dtype: str) -> int:
    """Of the copy in int8 that screens a large output layer."""
    if "avx512_vnni" not in cpu_flags() or not default_recipe(os.environ).compiler:
        return 0
    width = 4 if dtype_name(folder, dtype) == "float32" else 2
    return max((size for size in _tables(folder) if width * size >= SCREENED_FROM), default=0)


def _tables(folder: Path) -> list[int]:
    """Numbers of each matrix that has a row for each token: the embedding, the output layer, or both in one."""
    vocab_size = read_json(folder / "config.json").get("vocab_size")
    shapes = [shape for shape in tensor_shapes(folder) if len(shape) == 2]
    return [rows * columns for rows, columns in shapes if rows == vocab_size]
