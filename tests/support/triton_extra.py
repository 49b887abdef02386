"""Triton's kernels without a GPU: run by its interpreter, or compiled for GPUs that are not here.

Its tests are skipped where Triton is not installed. Triton decides when it is imported whether
kernels are interpreted, so `interpret` comes before any import of torch, which may import it; and
what is compiled is compiled in a process of its own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

needs_triton = pytest.mark.skipif(
    find_spec("triton") is None,
    reason="triton is not installed: pip install 'baton-serving[gpu-test]'",
)
needs_interpreter = pytest.mark.skipif(
    Path("/dev/nvidiactl").exists(), reason="with a GPU at hand, tests/gpu run the kernels on it"
)
# The interpreter computes with numpy, which warns where a GPU does not.
quiet = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def interpret() -> None:
    """In this process, and those it starts."""
    if not Path("/dev/nvidiactl").exists():
        os.environ["TRITON_INTERPRET"] = "1"


@dataclass(frozen=True, slots=True)
class Compiled:
    shared: int  # bytes of shared memory
    uses_matrix_units: bool


def compiled(
    kernel: str, types: Mapping[str, str], constants: Mapping[str, object], cache: Path
) -> dict[int, Compiled]:
    """By compute capability, what a kernel of `triton_kernels` becomes. Arguments whose type is not
    named are int32.
    """
    asked = json.dumps({"kernel": kernel, "types": dict(types), "constants": dict(constants)})
    environ = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(cache)}
    answer = subprocess.run(
        [sys.executable, "-c", _COMPILE, asked],
        env=environ,
        check=True,
        capture_output=True,
        timeout=120,
    )
    return {int(key): Compiled(**value) for key, value in json.loads(answer.stdout).items()}


_COMPILE = """
import json, sys
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from baton.engine.attention import triton_kernels
asked = json.loads(sys.argv[1])
kernel, constants = getattr(triton_kernels, asked["kernel"]), asked["constants"]
types = {**asked["types"], **dict.fromkeys(constants, "constexpr")}
signature = {name: types.get(name, "i32") for name in kernel.arg_names}
places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
answer = {}
for capability in (80, 90):
    target = GPUTarget("cuda", capability, 32)
    made = compile(ASTSource(kernel, signature, places), target, {"num_warps": 8})
    units = "mma" in made.asm["ptx"]
    answer[capability] = {"shared": made.metadata.shared, "uses_matrix_units": units}
print(json.dumps(answer))
"""
