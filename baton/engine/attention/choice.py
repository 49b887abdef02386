"""Which attention backend a worker takes."""

import logging
from collections.abc import Callable, Mapping

from torch import Tensor

from baton.core.errors import SettingsError
from baton.engine.attention.backend import AttentionBackend
from baton.engine.attention.cpu_kernel import CpuKernel
from baton.engine.attention.device_choice import BACKENDS, FLASH_ATTN, FLASHINFER
from baton.engine.attention.torch_reference import TorchReference
from baton.engine.kernel_build import KernelError, default_recipe, load_kernels

logger = logging.getLogger(__name__)

MakeAttention = Callable[[Tensor], AttentionBackend]  # from the pool's tensor


def choose_attention(name: str, environ: Mapping[str, str]) -> MakeAttention:
    """For a model on the CPU: `name` is auto, cpu, torch or triton; auto takes torch where the kernels cannot be had.

    Builds the C++ kernels when they are needed for the first time, which takes some seconds. Raises
    SettingsError where `cpu` or `triton` is impossible.
    """
    if name == "torch":
        return TorchReference
    if name == "triton":
        return _triton(environ)
    if name in (FLASH_ATTN, FLASHINFER):
        raise SettingsError(
            f"--attention-backend {name} is not possible: it computes on a CUDA device, and this worker "
            "on the CPU (--device)"
        )
    if name not in ("auto", "cpu"):
        raise SettingsError(f"--attention-backend {name!r} is none of: {', '.join(BACKENDS)}")
    recipe = default_recipe(environ)
    try:
        # A warning, though nothing is wrong: a start that takes longer than others says why.
        kernels = load_kernels(recipe, logger.warning)
    except KernelError as error:
        if name == "cpu":
            raise SettingsError(f"--attention-backend cpu is not possible: {error}") from error
        logger.warning("attention goes on in plain torch, which is slower: %s", error)
        return TorchReference
    logger.info("attention runs in the C++ kernel for %s", recipe.level)
    return lambda pool: CpuKernel(pool, kernels)


def _triton(environ: Mapping[str, str]) -> MakeAttention:
    if environ.get("TRITON_INTERPRET") != "1":
        raise SettingsError(
            "--attention-backend triton is not possible: its kernels run on a CUDA device, and this "
            "worker computes on the CPU (in Triton's interpreter, very slowly, with TRITON_INTERPRET=1)"
        )
    try:  # here, because a worker on a CPU needs no Triton
        from baton.engine.attention.triton_kernel import TritonKernel
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"--attention-backend triton is not possible ({error}): pip install 'triton>=3.6'"
        ) from error
    return TritonKernel
