"""What equal bits hang on: which parts may compute, and what names the class of workers that agree.

The C++ kernels sum up every number in an order that depends on its row and position alone. torch's
matrix products do not, and of its activations silu and gelu take another path for the numbers at the
end of a thread's share. So a promise of equal bits takes decoder layers in C++; what torch does beside
them (cosines, sines, scalings, tanh, softmax by rows) is looked at by `invariance_check`.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from baton.core.errors import SettingsError
from baton.engine.kernel_build import KernelError, default_recipe, load_kernels
from baton.engine.machine.host_cores import cpu_vendor
from baton.engine.modules.decoder_layer import KernelDecoderLayer
from baton.engine.modules.layer_parts import decoder_layers
from baton.engine.modules.linear import KernelLinear, PackedEmbedding
from baton.engine.modules.norm import KernelNorm
from baton.engine.modules.screened_head import ScreenedHead

logger = logging.getLogger(__name__)

# Whatever else is in the batch: what a screened head says is what its layer says.
_SOUND = (KernelLinear, ScreenedHead, KernelNorm, PackedEmbedding, nn.Embedding)


def kernel_class(environ: Mapping[str, str]) -> str:
    """Kernels' instructions, sources and compiler, and versions of what computes beside them.

    Not the number of threads: the kernels do not depend on it, and the check at load tries more than
    one. Raises SettingsError where there are no kernels.
    """
    recipe = default_recipe(environ)
    try:
        library = load_kernels(recipe, logger.warning)
    except KernelError as error:
        raise SettingsError(f"--batch-invariant needs the C++ kernels: {error}") from error
    capability = torch.backends.cpu.get_cpu_capability()
    return (
        f"{recipe.level} {Path(library._name).stem}, torch {torch.__version__} {capability}, "
        f"transformers {transformers.__version__}, {cpu_vendor()}"
    )


def check_parts(model: Any) -> None:
    """Raises SettingsError that names a part which the kernels do not compute."""
    part = unsound_part(model)
    if part is not None:
        raise SettingsError(
            f"--batch-invariant is not possible with {type(model).__name__}: {part} is computed by "
            "torch, in an order that depends on the batch"
        )


def unsound_part(model: Any) -> str | None:
    layers = decoder_layers(model)
    if layers is None:
        return "its list of decoder layers is not found, so all of it"
    for place, layer in enumerate(layers):
        if not isinstance(layer, KernelDecoderLayer):
            return f"decoder layer {place} ({type(layer).__name__})"
    for name, module in model.named_modules():
        if list(module.parameters(recurse=False)) and not isinstance(module, _SOUND):
            return f"{name} ({type(module).__name__})"
    return None
