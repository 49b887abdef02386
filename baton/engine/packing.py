"""Which models get linear layers packed by torch, where there are no C++ kernels, and what that takes
in memory. Without torch.
"""

import os
from pathlib import Path

from baton.engine.host_cores import cpu_flags
from baton.engine.kernel_build import default_recipe
from baton.model_source.weight_files import dtype_name, read_json, tensor_shapes


def packs_linears(dtype: str) -> bool:
    """Only where the CPU computes in bfloat16 by itself.

    Packed, float16 was measured to gain nothing and float32 to lose for single rows.
    """
    return dtype == "bfloat16" and "avx512_bf16" in cpu_flags()


def copied_bytes(folder: Path, dtype: str) -> int:
    """Of an embedding that is the output layer as well: read as it is by the one, packed by the other."""
    if default_recipe(os.environ).compiler or not packs_linears(dtype_name(folder, dtype)):
        return 0  # the C++ kernels' packed weights are read by both
    vocab_size = read_json(folder / "config.json").get("vocab_size")
    tables = [
        shape for shape in tensor_shapes(folder) if len(shape) == 2 and shape[0] == vocab_size
    ]
    if len(tables) != 1:
        return 0
    return 2 * tables[0][0] * tables[0][1]
